from django.db import migrations, models


class Migration(migrations.Migration):
    """Renames Evaluation.put_off in the code alone: workers still on the old version keep using the column."""

    dependencies = [
        ('leaderboard', '0013_withdrawn_requests'),
    ]

    operations = [
        migrations.AlterField(
            model_name='evaluation',
            name='put_off',
            field=models.PositiveSmallIntegerField(db_column='put_off', db_default=0, default=0, editable=False, help_text='Number of tries in which the storage did not answer.'),
        ),
        migrations.RenameField(
            model_name='evaluation',
            old_name='put_off',
            new_name='postponed',
        ),
        migrations.AlterField(
            model_name='evaluation',
            name='not_before',
            field=models.DateTimeField(editable=False, help_text='Postponed until then.', null=True),
        ),
    ]
