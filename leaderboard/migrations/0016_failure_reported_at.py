from django.db import migrations, models


def mark_old_failures(apps, schema_editor):
    """The organisers were mailed about each of them when it happened."""
    evaluations = apps.get_model("leaderboard", "Evaluation").objects.filter(state="failed")
    evaluations.update(failure_reported_at=models.F("finished_at"))


class Migration(migrations.Migration):

    dependencies = [
        ('leaderboard', '0015_served_at'),
    ]

    operations = [
        migrations.AddField(
            model_name='evaluation',
            name='failure_reported_at',
            field=models.DateTimeField(editable=False, help_text='When the organisers were mailed about the failure.', null=True),
        ),
        migrations.RunPython(mark_old_failures, migrations.RunPython.noop, elidable=True),
    ]
