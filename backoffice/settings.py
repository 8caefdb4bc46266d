"""The whole configuration, read from the environment (docs/settings.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from backoffice import providers
from backoffice.env import Environment, WebServer

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()


def _origin(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


# The site -----------------------------------------------------------------

DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.text("SECRET_KEY")
if 0 < len(SECRET_KEY) < 32:
    env.problem("SECRET_KEY", "must have at least 32 characters, better 50")
SECRET_KEY_FALLBACKS = env.names("SECRET_KEY_FALLBACKS")
WEB_SERVER = WebServer.read(env)
PORT = WEB_SERVER.port
SITE_URL = env.site_origin("SITE_URL", f"http://localhost:{PORT}")
ALLOWED_HOSTS = env.names("ALLOWED_HOSTS", urlsplit(SITE_URL).hostname)
TRUSTED_PROXIES = WEB_SERVER.trusted_proxies
SERVED_OVER_HTTPS = SITE_URL.startswith("https://")

ROOT_URLCONF = "backoffice.urls"
WSGI_APPLICATION = "backoffice.wsgi.application"

INSTALLED_APPS = [
    "backoffice.apps.BackofficeConfig",
    "accounts.apps.AccountsConfig",
    "backoffice.apps.AdminConfig",
    "social_django",
    "csp",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]

# The gate comes first and answers what is its own: nothing before it can answer in its
# place, and a call pays for nothing that only pages need. It opens its own session.
MIDDLEWARE = [
    "backoffice.proxy.middleware.GateMiddleware",
    "backoffice.request_id.RequestIdMiddleware",
    "backoffice.health.HealthMiddleware",
    "backoffice.proxy.forward_auth.ForwardAuthMiddleware",
    "backoffice.proxy.errands.ErrandsMiddleware",
    "backoffice.proxy.key_set.KeySetMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "accounts.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.database_away.DatabaseMiddleware",
    "accounts.sso.middleware.SignInMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# The database -------------------------------------------------------------

DATABASES = {
    "default": env.database("DATABASE_URL", f"sqlite:///{BASE_DIR / 'db.sqlite3'}")
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Writers wait for each other instead of failing, and readers never wait.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 5,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
elif DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # A database that is away is to be an answer soon, not a page that hangs.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("connect_timeout", 2)

AUDIT_RETENTION_DAYS = env.days("AUDIT_RETENTION_DAYS")

# The session store --------------------------------------------------------

STORE = env.store("REDIS_URL")
# As whom the sentinels are asked: they have users of their own.
SENTINEL_USER = env.text("SENTINEL_USER", "")
SENTINEL_PASSWORD = env.text("SENTINEL_PASSWORD", "")
if (SENTINEL_USER or SENTINEL_PASSWORD) and STORE.kind != "sentinel":
    env.problem(
        "SENTINEL_PASSWORD", "and SENTINEL_USER need REDIS_URL to name sentinels"
    )
if SENTINEL_USER and not SENTINEL_PASSWORD:
    env.problem("SENTINEL_USER", "needs SENTINEL_PASSWORD")
# Each wait is bounded so that an outage is an answer (503) within a second: at worst a
# request waits to connect, to learn who the store is, and for its own answer.
STORE_TIMEOUT_SECONDS = 0.3
SESSION_STORE_ALIAS = "sessions"
CACHES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    SESSION_STORE_ALIAS: {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": STORE.url,
        "OPTIONS": {
            "CONNECTION_FACTORY": f"accounts.sessions.connections.{STORE.kind}",
            "SENTINELS": STORE.sentinels,
            "SENTINEL_KWARGS": {
                "username": SENTINEL_USER or None,
                "password": SENTINEL_PASSWORD or None,
            },
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "CONNECTION_POOL_KWARGS": {
                "socket_timeout": STORE_TIMEOUT_SECONDS,
                "socket_connect_timeout": STORE_TIMEOUT_SECONDS,
                "max_connections": 64,
            },
        },
    },
}

SESSION_ENGINE = "accounts.sessions.store"
SESSION_COOKIE_NAME = "__Host-session_id" if SERVED_OVER_HTTPS else "session_id"
SESSION_COOKIE_SECURE = SERVED_OVER_HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
SESSION_IDLE_SECONDS = env.seconds("SESSION_IDLE_SECONDS", 30 * 60)
SESSION_ABSOLUTE_SECONDS = env.seconds("SESSION_ABSOLUTE_SECONDS", 8 * 3600)
if SESSION_IDLE_SECONDS > SESSION_ABSOLUTE_SECONDS:
    env.problem("SESSION_IDLE_SECONDS", "must not exceed SESSION_ABSOLUTE_SECONDS")
SESSION_SIGN_IN_SECONDS = 10 * 60
SIGN_IN_COOKIE_NAME = "__Host-sign_in" if SERVED_OVER_HTTPS else "sign_in"
SESSIONS_PER_PERSON = env.count("SESSIONS_PER_PERSON", 20)  # 0: as many as they like
SESSIONS_PER_PERSON_POLICY = env.choice(
    "SESSIONS_PER_PERSON_POLICY", "oldest-out", ("oldest-out", "newest-refused")
)
# Where a session is used from, and what is made of a change.
REMEMBER_ADDRESS = env.boolean("REMEMBER_ADDRESS", True)
REMEMBER_DEVICE = env.boolean("REMEMBER_DEVICE", True)
DEVICE_MEMORY_DAYS = env.count("DEVICE_MEMORY_DAYS", 90)
SESSION_CHANGE = env.choice("SESSION_CHANGE", "flag", ("flag", "end"))
PLACES = env.named_networks("PLACES")

# Long requests -----------------------------------------------------------

# Each holds a thread for as long as it is open. What is left over serves the rest:
# probes, pages, sign-in and whatever is quick.
WEB_THREADS = env.at_least_one("WEB_THREADS", 16)
LONG_REQUESTS_PER_PROCESS = env.at_least_one(
    "LONG_REQUESTS_PER_PROCESS", max(1, WEB_THREADS * 3 // 4)
)
LONG_REQUESTS_PER_SESSION = env.at_least_one(
    "LONG_REQUESTS_PER_SESSION", max(1, WEB_THREADS * 3 // 8)
)

# Sign-in ------------------------------------------------------------------

PROVIDERS = providers.read(env)
# Each a set of groups as they stand in profiles: of the first provider by their own
# names, of the others as `<provider>:<group>`.
STAFF_GROUPS = providers.groups(env, PROVIDERS, "STAFF_GROUPS")
ADMIN_GROUPS = providers.groups(env, PROVIDERS, "ADMIN_GROUPS")
OPERATOR_GROUPS = providers.groups(env, PROVIDERS, "OPERATOR_GROUPS")
AUDITOR_GROUPS = providers.groups(env, PROVIDERS, "AUDITOR_GROUPS")
# How old a sign-in may be for what is dangerous; 0 asks for no fresh one.
STEP_UP_SECONDS = env.seconds("STEP_UP_SECONDS", 5 * 60, lowest=0)
# The one leeway between a provider's clock and ours, for exp, iat, nbf, auth_time.
OIDC_LEEWAY_SECONDS = 60

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "accounts.sso.backend.StaffOpenIdConnect",
    "accounts.rights.GroupPermissions",
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = "home"

SOCIAL_AUTH_URL_NAMESPACE = "social"
SOCIAL_AUTH_STRATEGY = "accounts.sso.strategy.SiteStrategy"
SOCIAL_AUTH_STORAGE = "accounts.sso.storage.SiteStorage"
SOCIAL_AUTH_RAISE_EXCEPTIONS = False
SOCIAL_AUTH_PIPELINE = (
    "social_core.pipeline.social_auth.social_details",
    "social_core.pipeline.social_auth.social_uid",
    "accounts.sso.pipeline.read_profile",
    "accounts.sso.pipeline.admit_staff",
    "accounts.sso.pipeline.enter_user",
    "social_core.pipeline.social_auth.social_user",
    "social_core.pipeline.social_auth.associate_user",
    "accounts.sso.pipeline.attach_sign_in",
)
# No account is ever inactive: who may not sign in has a Suspension.
SOCIAL_AUTH_ACTIVE_USERS_FILTER: dict[str, Any] = {}
# The rest is of each provider (accounts.sso.backend).
SOCIAL_AUTH_USE_PKCE = True
SOCIAL_AUTH_STATE_LIFETIME = SESSION_SIGN_IN_SECONDS
SOCIAL_AUTH_NONCE_LIFETIME = SESSION_SIGN_IN_SECONDS
SOCIAL_AUTH_JWT_LEEWAY = OIDC_LEEWAY_SECONDS

# The routes ---------------------------------------------------------------

ROUTES_FILE = env.path("ROUTES_FILE")

# Browser defences ---------------------------------------------------------

CSRF_COOKIE_NAME = "__Host-csrftoken" if SERVED_OVER_HTTPS else "csrftoken"
CSRF_COOKIE_SECURE = SERVED_OVER_HTTPS
CSRF_COOKIE_HTTPONLY = True
CSRF_TRUSTED_ORIGINS = [SITE_URL]
CSRF_FAILURE_VIEW = "accounts.csrf.refuse"
LANGUAGE_COOKIE_SECURE = SERVED_OVER_HTTPS
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SECURE_HSTS_SECONDS = 365 * 86400 if SERVED_OVER_HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SERVED_OVER_HTTPS
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
# The forms for sign-in and sign-out post to us and are redirected to the provider and
# to wherever it sends people; Chromium holds the whole chain to form-action.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF, "https:", *(_origin(each.issuer) for each in PROVIDERS)],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
SILENCED_SYSTEM_CHECKS = [
    "admin.E410",  # accounts.sessions.middleware takes that place
    "security.W008",  # the proxy in front redirects; behind it we see http
    "security.W021",  # whether to preload HSTS is the domain owner's decision
]
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024

# Language and time --------------------------------------------------------

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("ko", _("Korean"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.text("TIME_ZONE", "UTC")
USE_TZ = True

# Static files -------------------------------------------------------------

STATIC_URL = "static/"
# Where collectstatic puts them and the site reads them from.
STATIC_ROOT = env.path("STATIC_ROOT") or BASE_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Logs ---------------------------------------------------------------------

LOGGING_CONFIG = "backoffice.logs.configure"
LOGGING = {"json": not DEBUG}

env.seal()
