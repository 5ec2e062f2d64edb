"""Structured logs: coloured lines for people or JSON for machines, each with the request's id."""

import logging
import logging.config
from typing import Literal

import structlog
from structlog.typing import Processor


def logging_config(style: Literal["console", "json"], level: str) -> None:
    """Route standard logging and structlog through one formatter.

    Args:
        style: "console" for coloured lines, "json" for one JSON object a line.
        level: the least severe level that is written, such as "INFO".
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso" if style == "json" else "%H:%M:%S", utc=style == "json"),
    ]
    final: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        if style == "json"
        # Plain, since a traceback that shows variables would put prompts and secrets into the log.
        else [
            structlog.dev.ConsoleRenderer(
                pad_event_to=0, pad_level=False, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "polygraft": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "polygraft"}},
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {
                # One line per HTTP call of ours to an engine would drown the rest.
                "httpx": {"level": "WARNING"},
                "httpcore": {"level": "WARNING"},
                # Nor do people want to read of every periodic task that had nothing to do.
                "celery.beat": {"level": "WARNING"},
                "celery.worker.strategy": {"level": "WARNING"},
                "celery.app.trace": {"level": "WARNING"},
                "gguf.gguf_writer": {"level": "WARNING"},
            },
        }
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
