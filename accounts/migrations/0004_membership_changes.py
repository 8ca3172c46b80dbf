import django.db.models.deletion
import django.db.models.functions.uuid
from django.conf import settings
from django.db import migrations, models

ROLES = [("owner", "Owner"), ("admin", "Admin"), ("member", "Member")]

FUNCTION = """
CREATE FUNCTION accounts_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: write a new line instead', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""
TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_membershipchange
FOR EACH ROW EXECUTE FUNCTION accounts_refuse_change()
"""


def to(model: str) -> models.ForeignKey:
    return models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=model)


class Migration(migrations.Migration):
    dependencies = [("accounts", "0003_pages")]

    operations = [
        migrations.AddIndex(
            model_name="invitation",
            index=models.Index(
                condition=models.Q(("accepted_at", None), ("withdrawn_at", None)),
                fields=["email"],
                name="invitation_open_by_email",
            ),
        ),
        migrations.CreateModel(
            name="MembershipChange",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        db_default=django.db.models.functions.uuid.UUID7(),
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("at", models.DateTimeField()),
                ("before", models.CharField(blank=True, choices=ROLES, max_length=10)),
                ("after", models.CharField(blank=True, choices=ROLES, max_length=10)),
                ("actor", to(settings.AUTH_USER_MODEL)),
                ("user", to(settings.AUTH_USER_MODEL)),
                ("workspace", to("accounts.workspace")),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["workspace", "-id"], name="membership_change_by_workspace")],
            },
        ),
        migrations.RunSQL(FUNCTION, "DROP FUNCTION accounts_refuse_change()"),
        migrations.RunSQL(TRIGGER, "DROP TRIGGER append_only ON accounts_membershipchange"),
    ]
