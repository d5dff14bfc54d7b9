"""Structured logs: JSON lines in production, coloured lines in a terminal, with the ids bound to the context."""

from typing import Any

import structlog

# Tracebacks with local variables would write tokens and hidden metrics to the log.
WITHOUT_LOCALS = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def without_personal_data(logger: Any, method: str, event: dict[str, Any]) -> dict[str, Any]:
    """Drop data about the visitor: the user agent and the query string."""
    event.pop("user_agent", None)
    if isinstance(event.get("request"), str):
        event["request"] = event["request"].partition("?")[0]
    return event


def configure(json_lines: bool, level: str) -> dict[str, Any]:
    """Configure structlog and return Django's LOGGING, so that both write the same lines to stderr."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        without_personal_data,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    ending: list[Any] = (
        [structlog.processors.ExceptionRenderer(WITHOUT_LOCALS), structlog.processors.JSONRenderer()]
        if json_lines
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "lines": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*shared, structlog.stdlib.ExtraAdder()],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *ending],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            # django_structlog already logs one line per request.
            "django.server": {"handlers": [], "propagate": False},
            "celery.beat": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "botocore": {"level": "WARNING"},
        },
    }
