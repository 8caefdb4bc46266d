"""A gate and proxy of stock Django: cache sessions, and one shared requests.Session.

gunicorn serves it with as many workers and threads as the doors have. POST /sign-in
begins a session; /api/proxy/… needs one. The middleware is what `startproject` writes.
"""

from __future__ import annotations

import os

import requests
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from requests.adapters import HTTPAdapter

PROFILE = {"sub": "staff-1", "name": "박지훈", "groups": ["staff", "support"]}
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
THREADS = 16
UPSTREAM = os.environ["UPSTREAM"]

settings.configure(
    SECRET_KEY="made up for a benchmark",  # noqa: S106
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["localhost"],
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": os.environ["STORE"],
        }
    },
)

http = requests.Session()
http.mount("http://", HTTPAdapter(pool_maxsize=THREADS))


@csrf_exempt
def sign_in(request: HttpRequest) -> HttpResponse:
    request.session["profile"] = PROFILE
    return HttpResponse(status=204)


@csrf_exempt
def proxy(request: HttpRequest, rest: str) -> HttpResponse:
    profile = request.session.get("profile")
    if profile is None:
        return HttpResponse(status=401)
    answer = http.request(
        request.method,
        f"{UPSTREAM}/{rest}",
        params=request.GET,
        data=request.body,
        headers={"X-User": profile["sub"], "X-Groups": ",".join(profile["groups"])},
        timeout=30,
        allow_redirects=False,
    )
    kept = {k: v for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP}
    return HttpResponse(answer.content, status=answer.status_code, headers=kept)


urlpatterns = [path("sign-in", sign_in), path("api/proxy/<path:rest>", proxy)]
application = get_wsgi_application()
