from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('leaderboard', '0012_growth'),
    ]

    operations = [
        migrations.AddField(
            model_name=name,
            name='withdrawn',
            field=models.BooleanField(db_default=False, default=False, help_text='By whoever asked.'),
        )
        for name in ('joinrequest', 'merger')
    ]
