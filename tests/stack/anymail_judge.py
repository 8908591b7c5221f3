#!/usr/bin/python3
"""A judge of our webhooks and of what routes post: the Mailgun views of
django-anymail, as a customer runs them, on a port of its own; inbound ones
below /inbound.

What its signal reports goes to --log, one JSON line an event, with the path it
was posted to; what it refuses is answered 400 as Django does (a bad signature is
anymail's SuspiciousOperation), with a line {"refused": status}.
"""
import argparse
import json
import signal
import sys
import threading
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from django.conf import settings


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--key", required=True, help="the API key")
    args = parser.parse_args()
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="x",
        USE_TZ=True, LOGGING_CONFIG=None, MIDDLEWARE=[],
        INSTALLED_APPS=["anymail"], DATA_UPLOAD_MAX_NUMBER_FIELDS=None,
        ANYMAIL={"MAILGUN_WEBHOOK_SIGNING_KEY": args.key})
    import django
    django.setup()
    from anymail.signals import inbound, tracking
    from anymail.webhooks.mailgun import (MailgunInboundWebhookView,
                                          MailgunTrackingWebhookView)
    from django.core.wsgi import get_wsgi_application
    from django.urls import re_path

    log, lock = open(args.log, "a"), threading.Lock()

    def write(line):
        with lock:
            log.write(json.dumps(line) + "\n")
            log.flush()

    def seen(sender, event, esp_name, **kwargs):
        write({"event": event.event_type, "recipient": event.recipient,
               "timestamp": event.timestamp.timestamp(), "id": event.event_id,
               "message_id": event.message_id, "tags": event.tags,
               "metadata": event.metadata, "url": event.click_url,
               "user_agent": event.user_agent, "reason": event.reject_reason,
               "description": event.description,
               "response": event.mta_response,
               "names": sorted(event.esp_event)})

    def came_in(sender, event, esp_name, **kwargs):
        m = event.message
        write({"inbound": m.subject, "from": m.from_email.addr_spec,
               "name": m.from_email.display_name,
               "to": [a.addr_spec for a in m.to], "text": m.text,
               "html": m.html, "stripped_text": m.stripped_text,
               "sender": m.envelope_sender, "recipient": m.envelope_recipient,
               "spam": m.spam_detected, "attachments": [
                   [a.get_filename(), a.get_content_type(),
                    a.get_content_bytes().hex()] for a in m.attachments],
               "inline": sorted(m.inline_attachments)})

    tracking.connect(seen, weak=False)
    inbound.connect(came_in, weak=False)
    globals()["urlpatterns"] = [
        re_path("^inbound", MailgunInboundWebhookView.as_view()),
        re_path("", MailgunTrackingWebhookView.as_view())]
    django_app = get_wsgi_application()

    def app(environ, start):
        def started(status, headers, *more):
            if not status.startswith("200"):
                write({"refused": int(status[:3])})
            return start(status, headers, *more)
        return django_app(environ, started)

    server = make_server("127.0.0.1", args.port, app, Server, Quiet)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *a: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main()
