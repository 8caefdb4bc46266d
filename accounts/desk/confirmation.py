"""What is asked before sessions are ended."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _


class ConfirmationForm(forms.Form):
    """A reason; of a bulk also the number, typed; of one's own session, a tick.

    `shown` names what the page has shown (accounts.desk.shown), of which `total` is the
    number. `is_outdated`: what the answer names is known no more, and was shown anew.
    """

    shown = forms.CharField(widget=forms.HiddenInput, required=False)
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
        token: str,
        total: int,
        is_outdated: bool,
        is_bulk: bool,
        holds_own: bool,
        must_hold_own: bool,
    ) -> None:
        if data is not None:
            data = data.copy()
            data["shown"] = token
        initial = {"shown": token}
        super().__init__(data, initial=initial, auto_id="end-%s", label_suffix="")
        self.total, self.is_outdated = total, is_outdated
        self.must_hold_own = must_hold_own
        self.fields["reason"].widget.attrs["autocomplete"] = "off"
        if not is_bulk:
            del self.fields["typed"]
        else:
            self.fields["typed"].label = _("Type %(n)s to confirm") % {"n": total}
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

    def clean_shown(self) -> str:
        if self.is_outdated:
            raise forms.ValidationError(
                _("This page was open for too long. Look at the numbers again.")
            )
        shown: str = self.cleaned_data["shown"]
        return shown

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"].strip().replace(",", "")
        if typed != str(self.total):
            raise forms.ValidationError(
                _("Type the number of sessions that are about to be ended.")
            )
        return typed

    def clean_own(self) -> bool:
        own: bool = self.cleaned_data["own"]
        if self.must_hold_own and not own:
            raise forms.ValidationError(
                _("This ends your own session, too. Tick to confirm.")
            )
        return own

    @property
    def values(self) -> dict[str, Any]:
        """What was answered, once it is valid."""
        return self.cleaned_data
