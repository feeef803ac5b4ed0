"""The one route."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from edge.request import json_body
from infer import wire
from infer.context import runner, services, tenant

router = APIGatewayHttpRouter()


@router.post("/api/v1/infer")
def infer() -> Response[str]:
    """What a model says about up to 16 images, each a uid or base64; a bad image has its error there. Scope: read."""
    owner, question = tenant(router, "read"), wire.question(json_body(router))
    answered = services().predicting.predict(owner, question, runner())
    return Response(status_code=200, content_type="application/json", body=wire.answer_text(answered, question))
