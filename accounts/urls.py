from __future__ import annotations

from django.urls import include, path
from social_django.views import auth

from accounts import views
from accounts.sso import step_up
from accounts.sso.backchannel import backchannel_logout
from accounts.sso.frontchannel import frontchannel_logout

# Not social-auth's own list: linking, unlinking and launch bridges are no way in here.
sso = (
    [
        path("login/<str:backend>/", auth, name="begin"),
        path("complete/<str:backend>/", views.complete, name="complete"),
    ],
    "social",
)

urlpatterns = [
    path("sign-in/", views.sign_in, name="sign-in"),
    path("sign-out/", views.sign_out, name="sign-out"),
    path("signed-out/", views.signed_out, name="signed-out"),
    path("sessions/end-others/", views.end_other_sessions, name="end-other-sessions"),
    path("devices/<int:pk>/known/", views.confirm_device, name="confirm-device"),
    path("devices/<int:pk>/unknown/", views.deny_device, name="deny-device"),
    path("sessions/<str:session_id>/end/", views.end_session, name="end-session"),
    path("sso/backchannel-logout/", backchannel_logout, name="backchannel-logout"),
    path("sso/frontchannel-logout/", frontchannel_logout, name="frontchannel-logout"),
    path("sso/step-up/", step_up.step_up, name="step-up"),
    path("sso/", include(sso)),
]
