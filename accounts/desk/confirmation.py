"""What is asked before sessions are ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# As long as somebody may look at the page that asks, before it must be asked anew.
VALID_FOR = timedelta(hours=1)


class ConfirmationForm(forms.Form):
    """A reason; of a bulk also the number, typed; of one's own session, a tick."""

    shown = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    as_of = forms.DateTimeField(widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        help_text=_("Kept in the audit with your name."),
    )
    typed = forms.CharField(max_length=16, required=False)
    own = forms.BooleanField(required=False)

    def __init__(
        self,
        data: QueryDict | None,
        *,
        total: int,
        is_counted: bool,
        is_bulk: bool,
        holds_own: bool,
        must_hold_own: bool,
    ) -> None:
        now = timezone.now()
        initial = {"shown": total, "as_of": now.isoformat()}
        super().__init__(data, initial=initial, auto_id="end-%s", label_suffix="")
        self.must_hold_own = must_hold_own
        self.fields["reason"].widget.attrs["autocomplete"] = "off"
        if not is_counted:
            del self.fields["shown"], self.fields["as_of"]
        if not is_bulk:
            del self.fields["typed"]
        else:
            number = data.get("shown", total) if data else total
            self.fields["typed"].label = _("Type %(n)s to confirm") % {"n": number}
            attributes = {"inputmode": "numeric", "autocomplete": "off"}
            self.fields["typed"].widget.attrs.update(attributes)
        if not holds_own:
            del self.fields["own"]
        elif must_hold_own:
            self.fields["own"].label = _(
                "My own session ends, too: I will have to sign in again."
            )
        else:
            self.fields["own"].label = _(
                "End my own session as well. Without this tick it is left alone."
            )

    def clean_as_of(self) -> datetime:
        moment: datetime = self.cleaned_data["as_of"]
        now = timezone.now()
        if not now - VALID_FOR <= moment <= now:
            raise forms.ValidationError(
                _("This page was open for too long. Look at the numbers again.")
            )
        return moment

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"].strip().replace(",", "")
        if typed != str(self.cleaned_data.get("shown")):
            raise forms.ValidationError(
                _("Type the number of sessions that are about to be ended.")
            )
        return typed

    def clean_own(self) -> bool:
        own: bool = self.cleaned_data["own"]
        if self.must_hold_own and not own:
            raise forms.ValidationError(
                _("Everyone is everyone: this ends your own session, too.")
            )
        return own

    @property
    def values(self) -> dict[str, Any]:
        """What was answered, once it is valid."""
        return self.cleaned_data
