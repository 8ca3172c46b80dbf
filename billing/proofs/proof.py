"""What a proof is."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Proof:
    """`sql` selects `(id, sentence)` rows for what is off; a proof that holds selects none."""

    name: str
    sql: str
