"""Every setting, read from the environment; production is the default and nothing falls into development."""

import ipaddress
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

env = environ.Env()

# A running demo leaves its environment here, so that commands typed beside it reach its database.
DEMO_ENV = BASE_DIR / ".data" / "demo.env"
if "SECRET_KEY" not in env and DEMO_ENV.exists():
    environ.Env.read_env(DEMO_ENV, overwrite=False)


def required(name: str, purpose: str) -> str:
    """The variable's value. Raises ImproperlyConfigured, which every command shows, when it is unset or empty."""
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"{name} is not set: {purpose}. See .env.example, or run `make demo`.")
    return value


def either(name: str, default: Any) -> Any:
    """An on/off word. Anything else is refused, so that a typing error never switches a guard off."""
    word = env.str(name, default="").strip().lower()
    if word in ("on", "true", "yes", "1"):
        return True
    if word in ("off", "false", "no", "0"):
        return False
    if word:
        raise ImproperlyConfigured(f"{name} is {word!r}: say on or off.")
    return default


DEBUG = either("DEBUG", False)
SECRET_KEY = required("SECRET_KEY", "it signs sessions and links")
DATABASE_URL = required("DATABASE_URL", "it names the PostgreSQL database")
if DEBUG:
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1"])
    SITE_URL = env.str("SITE_URL", default="http://127.0.0.1:8000")
    EMAIL_URL = env.str("EMAIL_URL", default="consolemail://")
else:
    required("ALLOWED_HOSTS", "it lists the host names that are answered")
    ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")
    SITE_URL = required("SITE_URL", "links in mails and answers begin with it")
    EMAIL_URL = required("EMAIL_URL", "mails leave through it")
    if not SITE_URL.startswith("https://"):
        raise ImproperlyConfigured("SITE_URL must begin with https:// in production.")
SITE_URL = SITE_URL.rstrip("/")

# Applications and middleware

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "accounts.apps.StaffConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "corsheaders",
    "django_htmx",
    "hijack",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "procrastinate.contrib.django",
    "djstripe",
    "accounts",
    "billing",
    "sessions_app",
]

MIDDLEWARE = [
    "accounts.middleware.RequestIdMiddleware",
    "accounts.middleware.HostMiddleware",
    "accounts.middleware.ChunkedBodyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "accounts.middleware.ViewerMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    # Innermost: it reads the session, and what fails there is answered with every header.
    "billing.impersonation.ImpersonationMiddleware",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

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
                "accounts.pages.context",
                "billing.impersonation.context",
            ],
            "builtins": ["django.templatetags.i18n", "django.templatetags.static", "accounts.templatetags.pages"],
        },
    }
]

# Database. Statements are bound by the server and prepared once a connection: planning the
# joined read that opens every request costs more than running it. Behind a pooler that shares
# connections between transactions, set DATABASE_PREPARE=off.

DATABASES = {"default": env.db_url_config(DATABASE_URL)}
if "postgresql" not in DATABASES["default"].get("ENGINE", ""):
    raise ImproperlyConfigured("DATABASE_URL must name a PostgreSQL database: postgres://user:password@host/name.")
DATABASES["default"].update(
    ENGINE="django.db.backends.postgresql",
    CONN_MAX_AGE=env.int("CONN_MAX_AGE", default=600),
)
DATABASES["default"].setdefault("OPTIONS", {}).update(
    server_side_binding=True,
    prepare_threshold=3 if either("DATABASE_PREPARE", True) else None,
    connect_timeout=5,
    application_name="ai-manus",
)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# Cache: Redis when there is one. Without it the database serves, and signed-in requests are not throttled.

REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}}
# What must be found again, written with the transaction around it. The prefix sorts last, where nothing is culled.
CACHES["lasting"] = {
    "BACKEND": "django.core.cache.backends.db.DatabaseCache",
    "LOCATION": "cache",
    "KEY_PREFIX": "lasting",
}

# People

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "fullname")},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]
PASSWORD_RESET_TIMEOUT = timedelta(hours=24).total_seconds()
EMAIL_VERIFICATION_TIMEOUT = timedelta(days=3)
TRIAL_REQUIRES_VERIFIED_EMAIL = either("TRIAL_REQUIRES_VERIFIED_EMAIL", not DEBUG)
BUYING_REQUIRES_VERIFIED_EMAIL = either("BUYING_REQUIRES_VERIFIED_EMAIL", not DEBUG)
STAFF_REQUIRES_MFA = either("STAFF_REQUIRES_MFA", not DEBUG)
if not STAFF_REQUIRES_MFA and not DEBUG:
    raise ImproperlyConfigured("STAFF_REQUIRES_MFA=off is refused in production.")
# Invariant 11: so many team workspaces that pay nothing somebody may own at once.
UNPAID_TEAMS_PER_OWNER = env.int("UNPAID_TEAMS_PER_OWNER", default=1)
if UNPAID_TEAMS_PER_OWNER < 1:
    raise ImproperlyConfigured("UNPAID_TEAMS_PER_OWNER must be 1 or more.")

# Signing in on pages: allauth's steps, by e-mail address and password, with a second factor where one is set.
# What it has beside them is off: addresses, mails and limits on guessing are ours, for pages and API alike.

ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_RATE_LIMITS = MFA_RATE_LIMITS = False
MFA_ADAPTER = "accounts.adapters.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "AI-Manus"
# In steps of half a minute: whoever types the code as it changes, or has a clock that is a little off, comes in.
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = True
# Asked of the User by `two_factor_pages`, and not of allauth's table of addresses.
MFA_ALLOW_UNVERIFIED_EMAIL = True

# The key of hashes that must outlive an account. Set it apart before SECRET_KEY is ever changed.
ADDRESS_HASH_KEY = env.str("ADDRESS_HASH_KEY", default="") or SECRET_KEY

# Tokens: "kid:secret" pairs; the first signs, all verify.

ACCESS_TOKEN_LIFETIME = timedelta(minutes=30)
REFRESH_TOKEN_LIFETIME = timedelta(days=7)
JWT_ALGORITHM = "HS256"
JWT_ISSUER = SITE_URL
JWT_AUDIENCE = "ai-manus-api"


def signing_keys() -> dict[str, str]:
    pairs = env.list("JWT_SIGNING_KEYS", default=[f"default:{SECRET_KEY}"] if DEBUG else [])
    if not pairs:
        required("JWT_SIGNING_KEYS", "it signs access tokens, as kid:secret, the newest first")
    keys: dict[str, str] = {}
    for pair in pairs:
        kid, _, secret = pair.partition(":")
        if not kid or len(secret) < 32:
            raise ImproperlyConfigured(
                f"JWT_SIGNING_KEYS: the entry {kid or '(unnamed)'} must be kid:secret with 32 characters or more."
            )
        keys[kid] = secret
    return keys


JWT_SIGNING_KEYS = signing_keys()
SIMPLE_JWT = {
    "ALGORITHM": JWT_ALGORITHM,
    "SIGNING_KEY": next(iter(JWT_SIGNING_KEYS.values())),
    "AUDIENCE": JWT_AUDIENCE,
    "ISSUER": JWT_ISSUER,
    "ACCESS_TOKEN_LIFETIME": ACCESS_TOKEN_LIFETIME,
    "REFRESH_TOKEN_LIFETIME": REFRESH_TOKEN_LIFETIME,
    "TOKEN_TYPE_CLAIM": "typ",
    "USER_ID_CLAIM": "sub",
}

# Who may call from where

RATE_LIMITS = either("RATE_LIMITS", True)
if not RATE_LIMITS and not DEBUG:
    raise ImproperlyConfigured("RATE_LIMITS=off is refused in production.")
TRUSTED_PROXIES = [ipaddress.ip_network(cidr, strict=False) for cidr in env.list("TRUSTED_PROXIES", default=[])]
ALLOWED_REDIRECT_ORIGINS = env.list("ALLOWED_REDIRECT_ORIGINS", default=[])
for origin in ALLOWED_REDIRECT_ORIGINS:
    if not DEBUG and not origin.startswith("https://"):
        raise ImproperlyConfigured(f"ALLOWED_REDIRECT_ORIGINS: {origin} must begin with https:// in production.")

CORS_URLS_REGEX = r"^/api/(?!v1/billing/webhook)"
CORS_ALLOWED_ORIGINS = env.list("CORS_ALLOWED_ORIGINS", default=[])
CORS_ALLOW_CREDENTIALS = False
CORS_ALLOW_HEADERS = ["accept", "authorization", "content-type", "idempotency-key", "last-event-id", "x-workspace"]
CORS_EXPOSE_HEADERS = [
    "X-Quota-Limit",
    "X-Quota-Remaining",
    "X-Quota-Reset",
    "Idempotent-Replayed",
    "X-Request-ID",
    "Retry-After",
]

# API

MAX_BODY_BYTES = 1024 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["accounts.parsers.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "accounts.openapi.Schema",
    "DEFAULT_THROTTLE_CLASSES": ["accounts.throttling.WorkspaceThrottle"] if REDIS_URL and RATE_LIMITS else [],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_VERSIONING_CLASS": None,
    "EXCEPTION_HANDLER": "accounts.errors.answer",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "AI-Manus",
    "DESCRIPTION": "Accounts, plans and metered agent sessions.",
    "VERSION": VERSION,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
}

# Jobs: a row in the transaction that wants the effect, carried out by `manage.py procrastinate worker`.

PROCRASTINATE_AUTODISCOVER_MODULE_NAME = "jobs"
# The jobs of a worker that has given no sign of life for so long are taken up again.
WORKER_SILENT_SECONDS = env.int("WORKER_SILENT_SECONDS", default=30)
# How often the workers look for what is due and nobody rang for.
SWEEP_SECONDS = env.int("SWEEP_SECONDS", default=15)
if not 1 <= SWEEP_SECONDS <= 30:
    raise ImproperlyConfigured("SWEEP_SECONDS must be 1 to 30.")
SWEEP_CRON = f"* * * * * */{SWEEP_SECONDS}"
PROCRASTINATE_WORKER_DEFAULTS = {
    "delete_jobs": "successful",
    "update_heartbeat_interval": WORKER_SILENT_SECONDS / 3,
    "stalled_worker_timeout": WORKER_SILENT_SECONDS,
    # Nobody tells a worker that a lock is free again: what waited for it is found by looking.
    "fetch_job_polling_interval": 1,
}

# Stripe. Without a key the billing endpoints answer `billing_not_configured`, and all else works.

STRIPE_API_VERSION = "2026-05-27.dahlia"
STRIPE_OWN_API = "https://api.stripe.com"


def stripe_secret_key() -> str:
    key: str = env.str("STRIPE_SECRET_KEY", default="").strip()
    # The key itself stays out of the message, which is printed and logged.
    if key and not re.fullmatch(r"(sk|rk)_(test|live)_[a-zA-Z0-9]{24,}", key):
        raise ImproperlyConfigured(
            "STRIPE_SECRET_KEY is not a secret key of Stripe: sk_test_, sk_live_, rk_test_ or rk_live_ "
            "and 24 letters and digits or more."
        )
    return key


STRIPE_SECRET_KEY = stripe_secret_key()
STRIPE_LIVE_MODE = STRIPE_SECRET_KEY[3:8] == "live_"
if STRIPE_LIVE_MODE and DEBUG:
    raise ImproperlyConfigured("STRIPE_SECRET_KEY is a live key: with DEBUG=on only test keys are taken.")

# By commas while the endpoint's secret is changed: a signature by any of them is taken.
STRIPE_WEBHOOK_SECRETS = [word for text in env.list("STRIPE_WEBHOOK_SECRET", default=[]) if (word := text.strip())]
if STRIPE_SECRET_KEY and not STRIPE_WEBHOOK_SECRETS and not DEBUG:
    raise ImproperlyConfigured(
        "STRIPE_WEBHOOK_SECRET is not set: with STRIPE_SECRET_KEY set, Stripe's deliveries are proven by it."
    )

# There is no setting STRIPE_API_HOST, in which dj-stripe would look and whose presence it warns of.
STRIPE_API_BASE = env.str("STRIPE_API_HOST", default="").rstrip("/") or STRIPE_OWN_API
if STRIPE_API_BASE != STRIPE_OWN_API and not DEBUG:
    raise ImproperlyConfigured(f"STRIPE_API_HOST is refused in production, unless it is {STRIPE_OWN_API}.")
if env.str("STRIPE_LOG", default="") and not DEBUG:
    raise ImproperlyConfigured("STRIPE_LOG prints what Stripe answers and is refused in production.")
# Where Checkout and the portal are: a form of ours that leads there is followed there only.
STRIPE_PAGES = (
    ["https://checkout.stripe.com", "https://billing.stripe.com", "https://invoice.stripe.com"]
    if STRIPE_API_BASE == STRIPE_OWN_API
    else [STRIPE_API_BASE]
)
STRIPE_TIMEOUT_SECONDS = env.float("STRIPE_TIMEOUT_SECONDS", default=8.0)
STRIPE_RETRIES = env.int("STRIPE_RETRIES", default=2)
if STRIPE_TIMEOUT_SECONDS <= 0 or STRIPE_RETRIES < 0:
    raise ImproperlyConfigured("STRIPE_TIMEOUT_SECONDS must be more than 0, and STRIPE_RETRIES 0 or more.")

STRIPE_PRICE_IDS = {
    plan_and_interval: price_id
    for plan_and_interval, price_id in {
        ("basic", "month"): env.str("STRIPE_PRICE_ID_BASIC", default=""),
        ("basic", "year"): env.str("STRIPE_PRICE_ID_BASIC_YEARLY", default=""),
        ("pro", "month"): env.str("STRIPE_PRICE_ID_PRO", default=""),
        ("pro", "year"): env.str("STRIPE_PRICE_ID_PRO_YEARLY", default=""),
    }.items()
    if price_id
}
STRIPE_AUTOMATIC_TAX = either("STRIPE_AUTOMATIC_TAX", False)
STRIPE_PROMOTION_CODES = either("STRIPE_PROMOTION_CODES", False)
DEFAULT_CURRENCY = env.str("DEFAULT_CURRENCY", default="").lower() or "usd"
if not re.fullmatch(r"[a-z]{3}", DEFAULT_CURRENCY):
    raise ImproperlyConfigured(f"DEFAULT_CURRENCY is {DEFAULT_CURRENCY!r}: say three letters, such as usd.")

# Of the 402s of a workspace each process writes down one in so many seconds, with how many there were; kept so long.
REFUSALS_WRITTEN_EVERY = env.float("REFUSALS_WRITTEN_EVERY", default=60.0)
REFUSALS_KEPT_DAYS = env.int("REFUSALS_KEPT_DAYS", default=90)
if REFUSALS_WRITTEN_EVERY < 0 or REFUSALS_KEPT_DAYS < 1:
    raise ImproperlyConfigured("REFUSALS_WRITTEN_EVERY must be 0 or more, and REFUSALS_KEPT_DAYS 1 or more.")

# What the roles of staff may do with sums: support gives so many runs in one act; beyond a sum in minor
# units, or so many runs, it takes the admin role.
STAFF_SUPPORT_RUNS = env.int("STAFF_SUPPORT_RUNS", default=100)
STAFF_LARGE_RUNS = env.int("STAFF_LARGE_RUNS", default=10_000)
STAFF_LARGE_AMOUNT = env.int("STAFF_LARGE_AMOUNT", default=50_000)
if not 0 <= STAFF_SUPPORT_RUNS <= STAFF_LARGE_RUNS or STAFF_LARGE_AMOUNT < 0:
    raise ImproperlyConfigured("STAFF_SUPPORT_RUNS must be 0 to STAFF_LARGE_RUNS, and STAFF_LARGE_AMOUNT 0 or more.")

# What dj-stripe reads beside them. Metadata names no subscriber: `billing.mirror` says why.
STRIPE_LIVE_SECRET_KEY = STRIPE_SECRET_KEY if STRIPE_LIVE_MODE else ""
STRIPE_TEST_SECRET_KEY = "" if STRIPE_LIVE_MODE else STRIPE_SECRET_KEY
DJSTRIPE_SUBSCRIBER_MODEL = "accounts.Workspace"
DJSTRIPE_SUBSCRIBER_CUSTOMER_KEY = None
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"

# Agent sessions

AGENT = env.str("AGENT", default="sessions_app.agents.BuiltInAgent")
AGENT_STEP_SECONDS = env.float("AGENT_STEP_SECONDS", default=0.4)
RUN_START_TIMEOUT = timedelta(seconds=env.int("RUN_START_TIMEOUT", default=600))

# Mail


def mailer(url: str) -> dict[str, Any]:
    """A MAILERS entry from EMAIL_URL; django-environ still speaks in the settings that MAILERS replaced."""
    old = env.email_url_config(url)
    new: dict[str, Any] = {"BACKEND": old["EMAIL_BACKEND"]}
    if new["BACKEND"].endswith("console.EmailBackend"):
        new["BACKEND"] = "accounts.mail.ReadableConsole"
    if new["BACKEND"].endswith("smtp.EmailBackend"):
        new["OPTIONS"] = {
            "host": old["EMAIL_HOST"],
            "port": old["EMAIL_PORT"] or 587,
            "username": old["EMAIL_HOST_USER"],
            "password": old["EMAIL_HOST_PASSWORD"],
            "use_tls": old.get("EMAIL_USE_TLS", False),
            "use_ssl": old.get("EMAIL_USE_SSL", False),
            "timeout": 10,
        }
    elif new["BACKEND"].endswith("filebased.EmailBackend"):
        new["OPTIONS"] = {"file_path": old["EMAIL_FILE_PATH"]}
    return new


MAILERS = {"default": mailer(EMAIL_URL)}
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="AI-Manus <no-reply@example.com>")
# Whom customers write to, about plans by agreement too; without it no page offers that.
SUPPORT_EMAIL = env.str("SUPPORT_EMAIL", default="support@example.com" if DEBUG else "")

# Time: in UTC throughout. The offset file moves the domain's clock in the demo and in tests.

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_THOUSAND_SEPARATOR = True
FORMAT_MODULE_PATH = ["config.formats"]
LANGUAGE_COOKIE_AGE = int(timedelta(days=365).total_seconds())
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_SECURE = not DEBUG
CLOCK_OFFSET_FILE = env.str("CLOCK_OFFSET_FILE", default="")
if CLOCK_OFFSET_FILE and not DEBUG:
    raise ImproperlyConfigured("CLOCK_OFFSET_FILE moves the clock and is refused in production.")

# Static files

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / ".data" / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}

# Security

LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = ACCOUNT_LOGOUT_REDIRECT_URL = "root"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
SECURE_SSL_REDIRECT = not DEBUG
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 0 if DEBUG else int(timedelta(days=365).total_seconds())
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
CSRF_FAILURE_VIEW = "accounts.errors.csrf_failure"
X_FRAME_OPTIONS = "DENY"
SECURE_CSP = {
    "default-src": ["'none'"],
    "script-src": ["'self'"],
    "style-src": ["'self'"],
    "img-src": ["'self'", "data:"],
    "font-src": ["'self'"],
    "connect-src": ["'self'"],
    "form-action": ["'self'", *STRIPE_PAGES],
    "base-uri": ["'none'"],
    "frame-ancestors": ["'none'"],
}

# The staff's desk: unfold's Alpine evaluates expressions, and its pages style elements inline.
STAFF_CSP = SECURE_CSP | {
    "script-src": ["'self'", "'unsafe-eval'"],
    "style-src": ["'self'", "'unsafe-inline'"],
}
UNFOLD = {
    "SITE_TITLE": "AI-Manus staff",
    "SITE_HEADER": "AI-Manus",
    "SITE_SUBHEADER": "Staff",
    "SITE_SYMBOL": "support_agent",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": "billing.admin.navigation.icon"}],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "STYLES": ["billing.admin.navigation.style"],
    "BORDER_RADIUS": "6px",
    "DASHBOARD_CALLBACK": "billing.admin.dashboard.fill",
    "COMMAND": {"search_models": False, "search_callback": "billing.admin.search.found"},
    "SIDEBAR": {"show_search": True, "navigation": "billing.admin.navigation.sidebar"},
}
# Staff look at pages as a person sees them: who may, and for how long, `billing.impersonation` says.
HIJACK_PERMISSION_CHECK = "billing.impersonation.may_sign_in_as"
HIJACK_INSERT_BEFORE = None

# Logging: to standard error, one line an event, without bodies, tokens or addresses.

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "django": {"handlers": [], "propagate": True, "level": "INFO"},
        # An answer of 400 to 499 is the caller's affair; what fails here is logged as an error.
        "django.request": {"level": "ERROR"},
        "procrastinate": {"level": "WARNING"},
        # What it says below that is addresses and, at DEBUG, whole answers.
        "stripe": {"level": "WARNING"},
    },
}
