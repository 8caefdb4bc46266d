from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Security desk")

    def ready(self) -> None:
        from django.contrib.auth.signals import user_logged_in
        from django.core import checks
        from django.db.models.signals import (
            m2m_changed,
            post_migrate,
            post_save,
            pre_delete,
        )

        from accounts import audit, receivers, rights
        from accounts.audit import triggers
        from accounts.models import User
        from accounts.sessions import audit_copy
        from accounts.sessions.checks import check_cookie, check_store
        from accounts.sessions.signals import touched
        from accounts.sso import renewal_queue

        user_logged_in.connect(receivers.begin_session)
        post_save.connect(receivers.end_sessions_at_loss_of_rights, sender=User)
        for taken in (User.groups.through, User.user_permissions.through):
            m2m_changed.connect(receivers.end_sessions_at_loss_of_a_group, sender=taken)
            m2m_changed.connect(receivers.record_given_rights, sender=taken)
        pre_delete.connect(receivers.end_sessions_of_deleted, sender=User)
        post_migrate.connect(rights.grant, sender=self)
        post_migrate.connect(triggers.make, sender=self)
        touched.connect(renewal_queue.note_use)
        audit.keep_with(audit_copy)
        checks.register(check_store)
        checks.register(check_cookie, deploy=True)
