"""The audit trail names people and workspaces as they were called, and holds no key to their rows."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

# The trail refuses every change, and this is the one that its own shape asks for.
NAMES = """
ALTER TABLE billing_auditentry DISABLE TRIGGER append_only;
UPDATE billing_auditentry a SET actor_name = u.email FROM accounts_user u WHERE u.id = a.actor_id;
UPDATE billing_auditentry a SET workspace_name = w.name FROM accounts_workspace w WHERE w.id = a.workspace_id;
ALTER TABLE billing_auditentry ENABLE TRIGGER append_only;
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0008_queue_that_fills")]

    operations = [
        # The constraints first, while the models still call them foreign keys; the columns stay as they are.
        migrations.AlterField(
            "auditentry",
            "actor",
            models.ForeignKey(
                settings.AUTH_USER_MODEL,
                null=True,
                blank=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                db_index=False,
                db_constraint=False,
            ),
        ),
        migrations.AlterField(
            "auditentry",
            "workspace",
            models.ForeignKey(
                "accounts.workspace",
                null=True,
                blank=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                db_index=False,
                db_constraint=False,
            ),
        ),
        migrations.RemoveIndex("auditentry", "audit_by_workspace"),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveField("auditentry", "actor"),
                migrations.RemoveField("auditentry", "workspace"),
                migrations.AddField("auditentry", "actor_id", models.UUIDField(null=True, blank=True)),
                migrations.AddField("auditentry", "workspace_id", models.UUIDField(null=True, blank=True)),
            ]
        ),
        migrations.AddField("auditentry", "actor_name", models.CharField(max_length=254, blank=True, default="")),
        migrations.AddField("auditentry", "workspace_name", models.CharField(max_length=150, blank=True, default="")),
        migrations.RunSQL(NAMES, migrations.RunSQL.noop),
    ]
