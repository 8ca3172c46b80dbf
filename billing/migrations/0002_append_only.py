"""History cannot be changed: the database itself refuses to update or delete it."""

from django.db import migrations

TABLES = ("billing_ledgerentry", "billing_subscriptionchange", "billing_auditentry")

FUNCTION = """
CREATE FUNCTION billing_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: write a new line instead', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]

    operations = [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION billing_refuse_change()"),
        *(
            migrations.RunSQL(
                f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION billing_refuse_change()",
                f"DROP TRIGGER append_only ON {table}",
            )
            for table in TABLES
        ),
        # A counter is updated thousands of times in its life; with room on its page no index entry is made.
        migrations.RunSQL(
            "ALTER TABLE billing_usageperiod SET (fillfactor = 50)",
            "ALTER TABLE billing_usageperiod RESET (fillfactor)",
        ),
    ]
