"""Settings, all from environment variables (listed in `.env.example`). Without any, this is the one-command demo.

An https:// SITE_URL or a PostgreSQL database means production: then SECRET_KEY is required. With https, cookies are
secure and HSTS is sent.
"""

import logging
import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from kombu import Queue

from leaderboard.platform import admin_theme, logs, sentry
from leaderboard.platform import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent

# Where it runs
DEBUG = env.flag("DEBUG")
PORT = env.number("PORT", 8000, least=1, most=65535)
HOST = env.text("HOST", "127.0.0.1").strip("[]")
SITE_URL = env.site("SITE_URL", f"http://127.0.0.1:{PORT}")
SITE_NAME = env.text("SITE_NAME", "Landslide4Sense leaderboard")
DATA_DIR = env.folder("DATA_DIR", BASE_DIR / "var")
DATABASE_URL = env.url(
    "DATABASE_URL",
    ("postgres", "postgresql", "sqlite"),
    default=f"sqlite://{DATA_DIR / 'db.sqlite3'}",
    example=env.DATABASE_EXAMPLE,
)
REDIS_URL = env.url("REDIS_URL", ("redis", "rediss", "unix"), example="redis://host:6379/0")
WEB_THREADS = env.number("WEB_THREADS", 8, least=1, most=256)
TRUSTED_PROXIES = env.number(
    "TRUSTED_PROXIES", 0, most=10
)  # proxies in front that set X-Forwarded-For and -Proto
REQUEST_TIME_HEADER = env.text(
    "REQUEST_TIME_HEADER"
)  # in it, the proxy says for how many seconds it has been receiving
ENCRYPTED = SITE_URL.startswith("https://")

POSTGRESQL = DATABASE_URL.startswith("postgres")
PRODUCTION = ENCRYPTED or POSTGRESQL

if REDIS_URL and not POSTGRESQL:
    raise env.refuse(
        "REDIS_URL",
        "is set, but the database is SQLite: Redis is for several hosts, SQLite for one host",
        "Set DATABASE_URL to a PostgreSQL database, or leave both empty.",
    )

SECRET_KEY = env.secret("SECRET_KEY", DATA_DIR / "secret_key", required=PRODUCTION)
RECEIPT_KEY = env.secret("RECEIPT_KEY", DATA_DIR / "receipt_key", required=False)
_site_host = urlsplit(SITE_URL).netloc.removesuffix(f":{urlsplit(SITE_URL).port}")
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS", [_site_host, "localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.words("CSRF_TRUSTED_ORIGINS", [SITE_URL])

# The project
INSTALLED_APPS = [
    "leaderboard",
    "rehearsal",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.import_export",
    "import_export",
    "leaderboard.platform.admin_app.LateAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_htmx",
    "django_structlog",
    "csp",
]
MIDDLEWARE = [
    "leaderboard.platform.arrival.ArrivalMiddleware",
    "leaderboard.platform.counters.MeasureMiddleware",
    "leaderboard.platform.compression.TextGZipMiddleware",
    "leaderboard.platform.proxies.ProxyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "leaderboard.platform.security.ContentPolicyMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "leaderboard.pages.second_factor.SecondFactorMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "leaderboard.api.frame.ApiFrameMiddleware",
    "leaderboard.api.client_version.ClientVersionMiddleware",
    "leaderboard.pages.moved.MovedAddressMiddleware",
]
ROOT_URLCONF = "leaderboard.urls"
WSGI_APPLICATION = "leaderboard.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "leaderboard.pages.page_context.site",
            ],
        },
    },
]
LANGUAGE_CODE = "en-gb"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = "leaderboard.formats"

# Database and cache. ATOMIC_REQUESTS must stay off: with SQLite every page would wait for a writer.
DATABASES = {"default": env.database("DATABASE_URL", DATABASE_URL, env.text("DATABASE_PASSWORD"))}
CACHES: dict[str, dict[str, Any]] = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
if REDIS_URL:
    CACHES["default"] = {
        "BACKEND": "leaderboard.platform.caches.ForgivingRedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }

SHARED_LOOK_SECONDS = (
    1  # for so long, visitors who poll a board get the same answer without a look at the database
)

# Files. Uploads and labels are outside every served path. Bodies stream to disk, next to their final place.
MAX_UPLOAD_MB = env.number("MAX_UPLOAD_MB", 64, least=1, most=1 << 20)
MAX_UPLOAD_BYTES = MAX_UPLOAD_MB * 1024 * 1024
S3_BUCKET = env.text("S3_BUCKET")


def _private_files(name: str) -> dict[str, Any]:
    """The storage of private files called `name`: a folder in DATA_DIR, or a prefix in the S3 bucket."""
    if not S3_BUCKET:
        return {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {
                "location": DATA_DIR / name,
                "base_url": None,
                "file_permissions_mode": 0o600,
                "directory_permissions_mode": 0o700,
            },
        }
    return {
        "BACKEND": "leaderboard.platform.bucket.Bucket",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "location": name,
            "endpoint_url": env.url("S3_ENDPOINT_URL", ("http", "https"), example="https://s3.example.org")
            or None,
            "region_name": env.text("S3_REGION") or None,
            "access_key": env.text("S3_ACCESS_KEY") or None,
            "secret_key": env.text("S3_SECRET_KEY") or None,
            "default_acl": None,
            "file_overwrite": False,
            "querystring_auth": True,
            "max_memory_size": 8 * 1024 * 1024,  # without it, reading a file holds all of it in memory
        },
    }


STATIC_URL = "static/"
STATIC_ROOT = (
    env.text("STATIC_ROOT") or None
)  # if set, collectstatic fills it and hashed names are served from it
WHITENOISE_USE_FINDERS = not STATIC_ROOT
STORAGES = {
    "default": _private_files("files"),
    "uploads": _private_files("uploads"),
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_ROOT
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.TemporaryFileUploadHandler"]
FILE_UPLOAD_TEMP_DIR = DATA_DIR / "incoming"
FILE_UPLOAD_TEMP_DIR.mkdir(mode=0o700, exist_ok=True)

UNFOLD = admin_theme.theme(SITE_NAME)

# Accounts
AUTH_USER_MODEL = "leaderboard.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
AUTH_PASSWORD_VALIDATORS.append({"NAME": "leaderboard.actions.passwords.GuessablePasswordValidator"})
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "leaderboard.pages.allauth_hooks.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "leaderboard.pages.allauth_hooks.LoginForm",
    "change_password": "leaderboard.pages.allauth_hooks.ChangePasswordForm",
    "reset_password_from_key": "leaderboard.pages.allauth_hooks.ResetPasswordForm",
}
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True  # the second factor's pages require it by themselves
ALLAUTH_TRUSTED_PROXY_COUNT = TRUSTED_PROXIES
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_LOGIN_METHODS = {"username", "email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "username*", "password1*", "password2*"]
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = f"[{SITE_NAME}] "
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = not ENCRYPTED  # browsers allow it on this machine only
REQUIRE_SECOND_FACTOR = env.flag("REQUIRE_SECOND_FACTOR", PRODUCTION)  # of staff, which organisers are
MFA_TOTP_ISSUER = SITE_NAME

# Mail goes through the outbox (leaderboard.notifications.mails), and from there to files in DATA_DIR/mail unless
# EMAIL_URL is set. Addresses can be verified only if mail is sent.
EMAIL_URL = env.url("EMAIL_URL", ("smtp", "smtps"), example="smtp://user:password@mail.example.org:587")
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.text(
    "EMAIL_FROM", f"leaderboard@{'localhost' if ':' in _site_host else _site_host}"
)
EMAIL_BACKEND = "leaderboard.notifications.mails.Outbox"
if EMAIL_URL:
    MAIL_DELIVERY_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    globals().update(env.smtp("EMAIL_URL", EMAIL_URL))
else:
    MAIL_DELIVERY_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = DATA_DIR / "mail"
ACCOUNT_EMAIL_VERIFICATION = "mandatory" if EMAIL_URL else "none"
ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED = bool(EMAIL_URL)
ACCOUNT_EMAIL_VERIFICATION_SUPPORTS_RESEND = True

# Webhooks reach hosts of the public internet only, by https; with this setting also private ones, and http.
WEBHOOK_PRIVATE_ADDRESSES = env.flag("WEBHOOK_PRIVATE_ADDRESSES")

# REST API
KNOX_TOKEN_MODEL = "leaderboard.ApiToken"  # noqa: S105  a model's name
MIGRATION_MODULES = {
    "knox": None
}  # its migrations create its own model's table even if that model is replaced
REST_KNOX = {
    "AUTH_HEADER_PREFIX": "Bearer",
    "TOKEN_PREFIX": "l4s_",  # lets secret scanners recognise a token committed by mistake
    "TOKEN_TTL": timedelta(days=env.number("API_TOKEN_DAYS", 180, least=1, most=3650)),
    "TOKEN_LIMIT_PER_USER": 20,
}
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "leaderboard.api.authentication.BearerToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["leaderboard.api.parsers.SmallJSONParser"],
    "DEFAULT_THROTTLE_CLASSES": [
        "leaderboard.api.throttles.PerPerson",
        "leaderboard.api.throttles.PerAddress",
    ],
    "DEFAULT_SCHEMA_CLASS": "leaderboard.api.openapi.OperationSchema",
    "DEFAULT_METADATA_CLASS": None,
    "EXCEPTION_HANDLER": "leaderboard.api.errors.handler",
    "NUM_PROXIES": TRUSTED_PROXIES,
}
API_RATES = {  # requests per minute, per person or address; generous to scripts that poll
    "person": env.number("API_RATE_PERSON", 3000, least=1),
    "address": env.number("API_RATE_ADDRESS", 1200, least=1),
    "upload": env.number("API_RATE_UPLOAD", 600, least=1),
    "password": 5,
}
L4S_CLIENT_MINIMUM = "1.1.0"  # the oldest version of the client l4s that this API still serves
SPECTACULAR_SETTINGS = {
    "TITLE": SITE_NAME,
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "EvaluationState": "leaderboard.models.Evaluation.State",
        "AttemptState": "leaderboard.models.Attempt.State",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "leaderboard.api.enrich.enrich",
    ],
}

# Security
SESSION_ENGINE = "leaderboard.platform.sessions"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = ENCRYPTED
if ENCRYPTED:  # browsers then take them from this host alone, not from its neighbours under one domain
    SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "__Host-sessionid", "__Host-csrftoken"
SECURE_REDIRECT_EXEMPT = [
    r"^healthz$",
    r"^readyz$",
    r"^metrics$",
    r"^as-seen$",
]  # requested internally, without TLS
SECURE_HSTS_SECONDS = env.number("HSTS_SECONDS", 31536000) if ENCRYPTED else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = ENCRYPTED
SILENCED_SYSTEM_CHECKS = ["security.W021"]  # preloading binds the whole domain for years: the owner's choice
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# Evaluation. The database row is the queue of record; a Celery message is only a notification (leaderboard.scoring.tasks).
EVALUATION_LEASE_SECONDS = env.seconds("EVALUATION_LEASE_SECONDS", 60)
EVALUATION_HEARTBEAT_SECONDS = env.seconds("EVALUATION_HEARTBEAT_SECONDS", EVALUATION_LEASE_SECONDS / 3)
EVALUATION_SWEEP_SECONDS = env.seconds("EVALUATION_SWEEP_SECONDS", 10)
EVALUATION_TIME_LIMIT_SECONDS = env.number("EVALUATION_TIME_LIMIT_SECONDS", 900, least=10)
EVALUATION_TRIES = env.number("EVALUATION_TRIES", 3, least=1, most=10)
READER_UID = env.number("READER_UID", 65534, least=1)
SCORE_WITHOUT_FILTER = env.flag("SCORE_WITHOUT_FILTER", not PRODUCTION)
WORKER_CONCURRENCY = env.number(
    "WORKER_CONCURRENCY", min(4, max(1, (os.cpu_count() or 2) - 1)), least=1, most=256
)
if EVALUATION_HEARTBEAT_SECONDS >= EVALUATION_LEASE_SECONDS:
    raise env.refuse(
        "EVALUATION_HEARTBEAT_SECONDS",
        f"({EVALUATION_HEARTBEAT_SECONDS:g}) is not shorter than the lease ({EVALUATION_LEASE_SECONDS:g})",
        "Leave it unset: the default is a third of EVALUATION_LEASE_SECONDS.",
    )

env.refuse_other_brokers()
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_ACKS_LATE = False  # the lease in the row returns lost work, not redelivery by the broker
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
# A worker consumes both queues; if scoring workers have no network access, a separate one sends the mail.
CELERY_TASK_QUEUES = [Queue(name, routing_key=name) for name in ("celery", "mail")]
CELERY_TASK_ROUTES = {
    "leaderboard.notifications.mails.deliver": {"queue": "mail"},
    "leaderboard.notifications.notices.work": {"queue": "mail"},
    "leaderboard.notifications.webhooks.deliver": {"queue": "mail"},
    # After all others (9 is the last in both brokers): a long queue must not hold up the sweep.
    "leaderboard.scoring.tasks.work": {"queue": "celery", "priority": 9},
}
CELERY_WORKER_POOL = "solo"  # one evaluation at a time per process; more workers are more processes
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "celery.beat:Scheduler"  # keeps no state file: an extra or late sweep does no harm
CELERY_BEAT_SCHEDULE = {
    "sweep": {
        "task": "leaderboard.scoring.tasks.sweep",
        "schedule": EVALUATION_SWEEP_SECONDS,
        "options": {"expires": 2 * EVALUATION_SWEEP_SECONDS},
    },
    "figures": {
        "task": "leaderboard.reporting.counting.work",
        "schedule": EVALUATION_SWEEP_SECONDS,
        "options": {"expires": EVALUATION_SWEEP_SECONDS},
    },
    "reports": {
        "task": "leaderboard.reporting.reports.work",
        "schedule": 60.0,  # only for reports whose message was lost, or that had to wait
        "options": {"expires": 60.0},
    },
    "reviews": {
        "task": "leaderboard.reporting.reviews.work",
        "schedule": 600.0,  # it checks each phase at most once an hour
        "options": {"expires": 600.0},
    },
    "mails": {
        "task": "leaderboard.notifications.mails.deliver",
        "schedule": 30.0,  # for retries, and for mails whose message was lost
        "options": {"expires": 30.0},
    },
    "webhooks": {
        "task": "leaderboard.notifications.webhooks.deliver",
        "schedule": 15.0,  # for retries, and for calls whose message was lost
        "options": {"expires": 15.0},
    },
    "notices": {
        "task": "leaderboard.notifications.notices.work",
        "schedule": 10.0,
        "options": {"expires": 20.0},
    },
    "announcements": {
        "task": "leaderboard.notifications.announcements.work",
        "schedule": 60.0,  # for scheduled ones
        "options": {"expires": 60.0},
    },
    "bulk acts": {
        "task": "leaderboard.actions.bulk.work",
        "schedule": 60.0,  # for those whose message was lost, or whose worker was killed
        "options": {"expires": 60.0},
    },
    "rehearsals": {
        "task": "rehearsal.tasks.work",
        "schedule": 60.0,  # for those whose bell was lost
        "options": {"expires": 60.0},
    },
    "uploads": {
        "task": "leaderboard.actions.uploads.sweep",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "housekeeping": {
        "task": "leaderboard.platform.housekeeping.work",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
}
if REDIS_URL:
    CELERY_BROKER_URL = REDIS_URL
    CELERY_BROKER_TRANSPORT_OPTIONS: dict[str, Any] = {
        # While Redis is down, publishing fails at once instead of blocking the upload; the sweep repeats it.
        "max_retries": 0,
        "interval_start": 0,
        "interval_step": 0.05,
        "interval_max": 0.1,
        "socket_connect_timeout": 1,
        "socket_timeout": 2,  # the longest that a frozen Redis can block an upload; above kombu's 1 s wait
        "global_keyprefix": "celery:",
    }
else:
    CELERY_BROKER_URL = "local://localhost"  # leaderboard.platform.broker
    CELERY_BROKER_TRANSPORT_OPTIONS = {"folder": str(DATA_DIR / "broker")}

# Monitoring
LOG_LEVEL = env.text("LOG_LEVEL", "INFO").upper()
if LOG_LEVEL not in ("DEBUG", "INFO", "WARNING", "ERROR"):
    raise env.refuse("LOG_LEVEL", f"is {LOG_LEVEL!r}", "Write DEBUG, INFO, WARNING or ERROR.")
LOGGING = logs.configure(json_lines=env.flag("LOG_JSON", PRODUCTION), level=LOG_LEVEL)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False
# One line per request; none per successful task, because leaderboard.scoring.tasks logs its own.
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_DEFAULT_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_CELERY_TASK_SUCCESS_LOG_LEVEL = logging.DEBUG
METRICS_TOKEN = env.text("METRICS_TOKEN")  # empty: /metrics answers only on the loopback interface
sentry.start(env.url("SENTRY_DSN", ("https", "http"), example="https://key@sentry.example.org/1"))
