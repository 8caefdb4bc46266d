from __future__ import annotations

from django.urls import path

from backoffice.pages import views

urlpatterns = [
    path("", views.home, name="home"),
    path("sessions/", views.sessions, name="sessions"),
]
