"""Models and their evaluations."""

from __future__ import annotations

from dataloop.domain import transitions
from dataloop.domain.errors import NotFound
from dataloop.domain.models import Evaluation, Model
from dataloop.repositories import keys, lifecycle
from dataloop.repositories.codec import Item
from dataloop.repositories.entities import from_item, to_item, touches_of
from dataloop.repositories.table import Table


class ModelRepository:
    """Reads by id are strongly consistent (S); lists are eventual (E)."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def create(self, model: Model) -> Model:
        """Write a model; the same id again returns what stands."""
        item = to_item(
            model,
            keys.model(model.tenant, model.id),
            keys.ROOT,
            g1pk=keys.models(model.tenant),
            g1sk=f"{model.created_at}#{model.id}",
            g2pk=keys.version(model.tenant, str(model.dataset["version_id"])),
            g2sk=f"MODEL#{model.created_at}#{model.id}",
        )
        return _model(lifecycle.create(self._table, item))

    def get(self, tenant: str, model_id: str) -> Model:
        """S. Raises NotFound. 1 call."""
        found = self.find(tenant, model_id)
        if found is None:
            raise NotFound("model", model_id)
        return found

    def find(self, tenant: str, model_id: str) -> Model | None:
        """S. 1 call."""
        item = self._table.get(keys.model(tenant, model_id))
        return _model(item) if item else None

    def move(self, model: Model, status: str, at: str, **changes: object) -> Model:
        """Change the status as the transitions allow. Raises IllegalTransition; being there already is no error."""
        pk, changed = keys.model(model.tenant, model.id), {"updated_at": at} | changes
        return _model(lifecycle.move(self._table, pk, ("model", model.id), transitions.MODEL, status, changed))

    def page(self, tenant: str, *, limit: int, cursor: str | None) -> tuple[list[Model], str | None]:
        """E. Newest first."""
        page = self._table.query(keys.models(tenant), index=keys.BY_TIME, limit=limit, newest_first=True, cursor=cursor)
        return [_model(item) for item in page.items], page.cursor

    def of_version(self, tenant: str, version_id: str) -> list[Model]:
        """E. The models that learnt from a dataset version."""
        items = self._table.query_all(keys.version(tenant, version_id), index=keys.BY_PARENT, prefix="MODEL#")
        return [_model(item) for item in items]

    def put_evaluation(self, evaluation: Evaluation) -> None:
        """Write the numbers of a model on a test set; writing them again replaces them with the same."""
        self._table.put(
            to_item(
                evaluation,
                keys.model(evaluation.tenant, evaluation.model_id),
                keys.evaluation(evaluation.version_id),
            )
        )

    def find_evaluation(self, tenant: str, model_id: str, version_id: str) -> Evaluation | None:
        """S. 1 call."""
        item = self._table.get(keys.model(tenant, model_id), keys.evaluation(version_id))
        return from_item(Evaluation, item) if item else None

    def evaluations(self, tenant: str, model_id: str) -> list[Evaluation]:
        """S. All evaluations of a model."""
        items = self._table.query_all(keys.model(tenant, model_id), prefix="EVAL#", consistent=True)
        return [from_item(Evaluation, item) for item in items]


def _model(item: Item) -> Model:
    return from_item(
        Model,
        item,
        labels=tuple(item.get("labels", ())),
        artifacts=tuple(item.get("artifacts", ())),
        touched_by=touches_of(item),
    )
