import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("leaderboard", "0036_setup_and_roles")]

    operations = [
        migrations.RenameField("bulkact", "submissions", "rows"),
        migrations.AlterField(
            "bulkact",
            "rows",
            models.JSONField(help_text="Primary keys of the submissions, by phase and team, or of the teams."),
        ),
        migrations.AlterField(
            "bulkact",
            "changed",
            models.JSONField(
                default=dict, help_text="What each row that was changed was before, by its primary key."
            ),
        ),
        migrations.AddField(
            "bulkact",
            "label_set",
            models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="leaderboard.labelset",
            ),
        ),
        migrations.AlterField(
            "bulkact",
            "kind",
            models.CharField(
                choices=[
                    ("rescore", "re-score"),
                    ("disqualify", "disqualify"),
                    ("restore", "restore"),
                    ("give_back", "give attempts back"),
                    ("withdraw", "withdraw"),
                    ("evaluate", "evaluate on other labels"),
                    ("hide", "hide from boards"),
                    ("show", "show on boards"),
                ],
                max_length=12,
            ),
        ),
    ]
