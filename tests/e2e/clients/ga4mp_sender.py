"""Sends what an application would send with ga4mp, and prints what ga4mp makes of the answers.

One line of JSON for each thing sent: [name, result]. GATE is the gate's address, WEB_STREAM and
APP_STREAM name the streams, SECRET is the secret. Nothing of ga4mp is changed but the two addresses
that it keeps for Google's endpoints.
"""

import datetime
import json
import os
import urllib.error

from ga4mp import FirebaseMP, GtagMP

GATE = os.environ["GATE"]


def at_the_gate(client):
    client._base_domain = f"http://{GATE}/mp/collect"
    client._validation_domain = f"http://{GATE}/debug/mp/collect"
    return client


def web(secret=os.environ["SECRET"]):
    return at_the_gate(GtagMP(secret, os.environ["WEB_STREAM"], "1234567890.1700000000"))


def app():
    return at_the_gate(FirebaseMP(os.environ["SECRET"], os.environ["APP_STREAM"], "0123456789abcdef" * 2))


def purchase(client):
    event = client.create_new_event("purchase")
    event.set_event_param("transaction_id", "T-1001")
    event.set_event_param("currency", "EUR")
    event.set_event_param("value", 42.5)
    item = event.create_new_item(item_id="SKU-1", item_name="A caf\u00e9 chair")
    item.set_parameter("price", 42.5)
    item.set_parameter("quantity", 1)
    event.add_item_to_event(item)
    return event


def login(client, name="login"):
    event = client.create_new_event(name)
    event.set_event_param("method", "password")
    return event


def told(name, send):
    try:
        result = send()
    except urllib.error.HTTPError as error:
        result = [error.code, json.load(error).get("reason")]
    print(json.dumps([name, result]), flush=True)


def user():
    client = web()
    client.store.set_user_property("plan", "gold")
    client.store.set_user_property("user_id", "u-1")
    client.store.set_user_property("non_personalized_ads", True)
    return client.send([login(client)])


def postponed():
    client = web()
    client.send([login(client), purchase(client)], postpone=True)
    return client.postponed_send()


def an_hour_ago(client):
    return client.send([login(client)], date=datetime.datetime.now() - datetime.timedelta(hours=1))


told("web", lambda: web().send([purchase(web())]))
told("app", lambda: app().send([login(app())]))
told("app, purchase", lambda: app().send([purchase(app())]))
told("batch of 27", lambda: web().send([login(web()) for _ in range(27)]))
told("user", user)
told("postponed", postponed)
told("an hour ago", lambda: an_hour_ago(web()))
told("debug", lambda: web().send([purchase(web())], validation_hit=True))
told("debug, reserved", lambda: web().send([login(web(), "session_start")], validation_hit=True))
told("reserved", lambda: web().send([login(web(), "session_start")]))
told("wrong secret", lambda: web("guessed").send([login(web())]))
