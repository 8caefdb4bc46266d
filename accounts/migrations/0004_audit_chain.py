import uuid

from django.db import migrations, models

from accounts.audit import chain
from accounts.audit.chain import BEGINNING, Link


def chain_what_is_there(apps, schema_editor):
    """Links and numbers the entries of before, in the order in which they came."""
    model = apps.get_model("accounts", "AuditEntry")
    last = BEGINNING
    for row in model.objects.order_by("pk").iterator(chunk_size=1000):
        number = last.sequence + 1
        row.reference = uuid.uuid4()
        digest = chain.digest_of(row, number, last.hash)
        key, seal = chain.seal_of(digest)
        # Never upwards, so that no number is taken when its turn comes.
        model.objects.filter(pk=row.pk).update(
            id=number,
            reference=row.reference,
            previous=last.hash,
            hash=digest,
            key=key,
            seal=seal,
        )
        last = Link(number, digest)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_seen_device'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditentry',
            name='hash',
            field=models.CharField(default='', max_length=64, verbose_name='hash'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='key',
            field=models.CharField(default='', max_length=8),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='previous',
            field=models.CharField(default='', max_length=64, verbose_name='hash of the entry before'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='reference',
            field=models.UUIDField(null=True),
        ),
        migrations.AddField(
            model_name='auditentry',
            name='request_id',
            field=models.CharField(blank=True, default='', max_length=64, verbose_name='request'),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='auditentry',
            name='seal',
            field=models.CharField(default='', max_length=64),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name='auditentry',
            name='actor',
            field=models.CharField(blank=True, db_index=True, max_length=255, verbose_name='by'),
        ),
        migrations.AlterField(
            model_name='auditentry',
            name='at',
            field=models.DateTimeField(db_index=True, verbose_name='time'),
        ),
        migrations.RunPython(chain_what_is_there, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='auditentry',
            name='reference',
            field=models.UUIDField(default=uuid.uuid4, unique=True, verbose_name='reference'),
        ),
    ]
