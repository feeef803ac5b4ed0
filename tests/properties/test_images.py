"""Random changes of a workspace, up to three at a time, with deaths between any two calls and a stream that is late.

The model is plain Python: what each image says. A change that died or was overtaken may have reached an image or not;
whatever became of the rows, once the stream has delivered (or an operator repaired) every query, page and count must say
exactly what the rows say.

Requests that run at once take turns: before each AWS call it is drawn whose is next, so that every interleaving of calls
can happen and a failing example repeats itself. Images are numbered around 65,536, so that terms have two blocks.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, permutations
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from ministack.services import dynamodb as engine

from dataloop.bootstrap import Services
from dataloop.domain.errors import InvalidInput, NotFound
from dataloop.domain.image_changes import NewRegion
from dataloop.domain.projects import Image
from dataloop.domain.terms import ALL, TAGGED, AllOf, AnyOf, Except, ImageQuery, Query, Term, evaluate, tag_term
from dataloop.repositories import images, terms
from dataloop.repositories.codec import decode_item
from dataloop.services import browsing, indexing, tagging
from tests.core import TABLE, Core, account
from tests.faults.injection import Death
from tests.properties.image_model import Effect, Life, OneThread, Request, Shown, State, Turns, losing, shown
from tests.workspaces import Box, images_of, new_project, new_tags, uid_for

CONTENTS = range(6)
BOXES: tuple[Box, ...] = ((0.0, 0.0, 0.5, 0.5), (0.25, 0.25, 0.5, 0.5))
METADATA = {"site": ("a", "b"), "a=b": ("c",)}
POOLS = (images, terms, tagging, browsing, indexing)


class Workspace(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        for module in POOLS:
            self.stack.enter_context(mock.patch.object(module, "ThreadPoolExecutor", OneThread))
        self.core: Core = self.stack.enter_context(account())
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        self.core.clients.dynamodb.update_table(TableName=TABLE, StreamSpecification=stream)
        self.turns: Turns | None = None
        self.mine = threading.local()
        hooks = self.core.clients.dynamodb.meta.events
        hooks.register_first("before-send", self._before, unique_id="life-before")
        hooks.register_last("before-send", self._after, unique_id="life-after")
        self.stack.callback(hooks.unregister, "before-send", unique_id="life-before")
        self.stack.callback(hooks.unregister, "before-send", unique_id="life-after")
        self.state: dict[int, State] = dict.fromkeys(CONTENTS)
        self.delivered = 0

    def teardown(self) -> None:
        try:
            self.deliver_everything()
        finally:
            self.stack.close()

    @initialize()
    def a_project(self) -> None:
        self.project = new_project(self.core)
        self.core.stores.images.reserve("default", self.project.id, 65_533)
        self.tags = new_tags(self.core, self.project, "cat", "dog")
        self.negative = new_tags(self.core, self.project, "nothing", kind="negative")[0]
        self.dead: frozenset[str] = frozenset()

    # How requests run at once, and die.

    def _before(self, **_: Any) -> None:
        life: Life | None = getattr(self.mine, "life", None)
        if life is None or self.turns is None:
            return
        with self.turns.changed:
            self.turns.pass_on()
            self.turns.wait(life)
        life.calls += 1
        if life.is_dead or (life.calls - 1 == life.dies_at and not life.is_call_made):
            life.is_dead = True
            raise Death

    def _after(self, **_: Any) -> None:
        life: Life | None = getattr(self.mine, "life", None)
        if life is not None and life.calls - 1 == life.dies_at and life.is_call_made:
            life.is_dead = True
            raise Death

    def _live(self, life: Life, turns: Turns) -> None:
        self.mine.life = life
        with turns.changed:
            turns.wait(life)
        try:
            life.request.call(self.core.again())
            life.came_through = True
        except (Death, NotFound, InvalidInput):
            pass
        except BaseException as error:
            life.error = error
        with turns.changed:
            life.is_done = True
            turns.pass_on()

    def run(self, lives: list[Life], choices: list[int]) -> None:
        turns = self.turns = Turns(lives, iter(choices))
        threads = [threading.Thread(target=self._live, args=(life, turns), daemon=True) for life in lives]
        for thread in threads:
            thread.start()
        with turns.changed:
            turns.pass_on()
        for thread in threads:
            thread.join()
        self.turns = None
        for life in lives:
            if life.error:
                raise life.error

    def perform(self, requests: list[Request], data: st.DataObject) -> None:
        """Run requests at once, some of which die, and see that each image is what it may be."""
        lives = [Life(request) for request in requests]
        for life in lives:
            if data.draw(st.integers(0, 2), label="dies?") == 0:
                life.dies_at = data.draw(st.integers(0, 15), label="at call")
                life.is_call_made = data.draw(st.booleans(), label="after it")
        if data.draw(st.booleans(), label="the stream is quick"):
            late = self.records()[self.delivered :]
            lives.append(Life(Request(lambda _: self.deliver([*late, *self.records()[self.delivered :]]), {})))
        choices = data.draw(st.lists(st.integers(0, 2), max_size=40), label="turns") if len(lives) > 1 else []
        self.run(lives, choices)
        if len(lives) == 1 and requests[0].is_refused:
            assert not lives[0].came_through
            requests = []
        self.look(requests, is_certain=len(lives) == 1 and lives[0].came_through)

    def look(self, requests: list[Request], *, is_certain: bool) -> None:
        """The rows are what the requests may have made of them: in any order, each of them or not."""
        there = self.rows()
        for content in CONTENTS:
            before = self.state[content]
            effects = [request.effects[content] for request in requests if content in request.effects]
            orders = (
                [tuple(effects)] if is_certain else chain(*(permutations(effects, n) for n in range(len(effects) + 1)))
            )
            possible = set()
            for order in orders:
                state = before
                for effect in order:
                    state = effect(state)
                possible |= {state, state.without(self.dead) if state else None}
            assert there.get(content) in possible, f"content {content}: {there.get(content)} is none of {possible}"
            self.state[content] = there.get(content)

    def rows(self) -> dict[int, Shown]:
        last = self.core.stores.images.last_ordinal("default", self.project.id)
        found = [
            image
            for block in range(65_533 // 256, last // 256 + 1)
            for image in self.core.stores.images.block("default", self.project.id, block)
        ]
        contents = {uid_for(content): content for content in CONTENTS}
        assert len(found) == len({image.uid for image in found})
        return {contents[image.uid]: shown(image) for image in found}

    # What is requested.

    @rule(data=st.data(), count=st.sampled_from([1, 2, 2]))
    def request(self, data: st.DataObject, count: int) -> None:
        wanted = data.draw(st.lists(st.sampled_from(CONTENTS), min_size=1, max_size=3, unique=True), label="contents")
        self.perform([self.draw_request(data, wanted) for _ in range(count)], data)

    def draw_request(self, data: st.DataObject, wanted: list[int]) -> Request:
        live = [content for content in wanted if self.state[content]]
        kinds = ["create"] + (["tag", "tag", "untag", "untag", "box", "unbox", "metadata", "delete"] if live else [])
        kind = data.draw(st.sampled_from(kinds), label="request")
        made: Request = getattr(self, f"_{kind}")(data, wanted if kind == "create" else live)
        return made

    def tag_ids(self, data: st.DataObject, least: int = 0) -> list[str]:
        known = [*self.tags, self.negative]
        return data.draw(st.lists(st.sampled_from(known), min_size=least, max_size=2, unique=True), label="tags")

    def pairs(self, data: st.DataObject) -> dict[str, str]:
        names = data.draw(st.lists(st.sampled_from(sorted(METADATA)), max_size=2, unique=True), label="keys")
        return {name: data.draw(st.sampled_from(METADATA[name])) for name in names}

    def is_mixed(self, tag_ids: frozenset[str]) -> bool:
        return self.negative in tag_ids and len(tag_ids - self.dead) > 1

    def _create(self, data: st.DataObject, chosen: list[int]) -> Request:
        tags = self.tag_ids(data)
        if self.is_mixed(frozenset(tags)):
            tags = tags[:1]
        boxes = [(tag, BOXES[0]) for tag in tags[:1] if data.draw(st.booleans())]
        metadata = self.pairs(data)
        made = images_of(self.core, self.project, chosen, tags, boxes, metadata)

        def effect(image: Image) -> Effect:
            new = shown(image)

            def merge(state: State) -> State:
                if state is None:
                    return new
                said = dict(state.metadata) | dict(new.metadata)
                merged = Shown(state.id, state.tags | new.tags, state.boxes | new.boxes, frozenset(said.items()))
                return state if self.is_mixed(merged.all_tags) else merged

            return merge

        effects = {content: effect(image) for content, image in zip(chosen, made, strict=True)}
        return Request(lambda services: services.tagging.store(self.project, made), effects)

    def _each(self, chosen: list[int], change: Callable[[Shown], State]) -> dict[int, Effect]:
        """The effect on images as they are known by their ids now: on no others of the same content."""

        def effect(id: str) -> Effect:
            return lambda state: change(state) if state and state.id == id else state

        return {content: effect(self.ids([content])[0]) for content in chosen}

    def ids(self, chosen: list[int]) -> list[str]:
        return [state.id for content in chosen if (state := self.state[content])]

    def _labelling(
        self, chosen: list[int], change: Callable[[Shown], Shown], call: Callable[[Services], object]
    ) -> Request:
        """A request that is refused as a whole when a negative tag would meet others on one of its images."""
        is_refused = any(self.is_mixed(change(state).all_tags) for each in chosen if (state := self.state[each]))
        effects = self._each(chosen, lambda state: state if self.is_mixed(change(state).all_tags) else change(state))
        return Request(call, effects, is_refused)

    def _tag(self, data: st.DataObject, chosen: list[int]) -> Request:
        tags = self.tag_ids(data, least=1)
        pairs = [(id, tag) for id in self.ids(chosen) for tag in tags]

        def change(state: Shown) -> Shown:
            return replace(state, tags=state.tags | set(tags))

        return self._labelling(chosen, change, lambda services: services.tagging.tag(self.project, pairs))

    def _untag(self, data: st.DataObject, chosen: list[int]) -> Request:
        tags, ids = self.tag_ids(data, least=1), self.ids(chosen)
        effects = self._each(chosen, lambda state: state.without(frozenset(tags)))
        return Request(lambda services: services.tagging.untag(self.project, ids, tags), effects)

    def _box(self, data: st.DataObject, chosen: list[int]) -> Request:
        tag, box = data.draw(st.sampled_from([*self.tags, self.negative])), data.draw(st.sampled_from(BOXES))
        entries = [NewRegion(id, tag, *box) for id in self.ids(chosen)]

        def change(state: Shown) -> Shown:
            return replace(state, boxes=state.boxes | {(tag, box)})

        return self._labelling(chosen, change, lambda services: services.tagging.add_regions(self.project, entries))

    def _unbox(self, data: st.DataObject, chosen: list[int]) -> Request:
        rows = self.core.stores.images.get_many("default", self.project.id, self.ids(chosen))
        gone = {region.id: (region.tag_id, region.box) for row in rows for region in row.regions[:1]}
        boxes = set(gone.values())
        by_id = {row.id: {(r.tag_id, r.box) for r in row.regions if r.id in gone} for row in rows}
        assert set().union(*by_id.values()) == boxes
        effects = self._each(chosen, lambda state: replace(state, boxes=state.boxes - by_id[state.id]))
        return Request(lambda services: services.tagging.delete_regions(self.project, list(gone)), effects)

    def _metadata(self, data: st.DataObject, chosen: list[int]) -> Request:
        given: dict[str, str | None] = dict(self.pairs(data))
        if data.draw(st.booleans(), label="take a key away"):
            given["site"] = None
        ids = self.ids(chosen)

        def change(state: Shown) -> Shown:
            merged = {key: value for key, value in {**dict(state.metadata), **given}.items() if value is not None}
            return replace(state, metadata=frozenset(merged.items()))

        return Request(
            lambda services: services.tagging.set_metadata(self.project, ids, given), self._each(chosen, change)
        )

    def _delete(self, data: st.DataObject, chosen: list[int]) -> Request:
        ids = self.ids(chosen)
        return Request(
            lambda services: services.tagging.delete_images(self.project, ids), self._each(chosen, lambda state: None)
        )

    @rule(data=st.data())
    @precondition(lambda self: len(self.tags) > 1)
    def delete_a_tag(self, data: st.DataObject) -> None:
        """Its row goes at once; whoever knew it may still give it to an image."""
        tag_id = self.tags.pop()
        self.core.stores.projects.delete_tag(self.core.stores.projects.tag("default", self.project.id, tag_id), "now")
        self.dead |= {tag_id}
        effects = {content: losing(tag_id) for content in CONTENTS}
        forget = Request(lambda services: services.tagging.forget_tag(self.project, tag_id), effects)
        self.perform([forget], data)

    # What the stream and an operator do.

    def records(self) -> list[dict[str, Any]]:
        """The changes of images' rows, in order: what the filter of the event source lets pass."""
        found = []
        for record in engine.stream_live_records(TABLE):
            sides = record["dynamodb"]
            if "ordinal" in sides.get("NewImage", sides.get("OldImage", {})):
                found.append(sides)
        return found

    def deliver(self, records: list[dict[str, Any]]) -> None:
        changes = [
            tuple(decode_item(sides[name]) if name in sides else None for name in ("OldImage", "NewImage"))
            for sides in records
        ]
        assert self.core.again().indexing.changed(changes) == []  # type: ignore[arg-type]

    @rule(data=st.data())
    def deliver_some(self, data: st.DataObject) -> None:
        """Any records, old ones again, in any order."""
        records = self.records()
        if records:
            places = data.draw(st.lists(st.integers(0, len(records) - 1), min_size=1, max_size=6), label="records")
            self.deliver([records[place] for place in places])
            self.look([], is_certain=False)

    @rule()
    def deliver_everything(self) -> None:
        """The stream has caught up: the index says what the rows say."""
        while self.delivered < len(records := self.records()):
            fresh = records[self.delivered :]
            self.delivered = len(records)
            self.deliver(fresh[::-1])
        self.look([], is_certain=False)
        for state in self.state.values():
            assert not state or not state.all_tags & self.dead
        self.check()
        repaired = self.core.again().indexing.repair("default", self.project.id)
        assert (repaired.terms, repaired.counts) == ([], [])
        assert repaired.images == len(self.rows())

    @rule()
    def repair(self) -> None:
        """An operator does not wait for the stream."""
        self.core.again().indexing.repair("default", self.project.id)
        self.check()

    # What must hold then.

    def check(self) -> None:
        rows = self.core.stores.images
        last = rows.last_ordinal("default", self.project.id)
        there = rows.rows("default", self.project.id, range(65_533, last))
        truth: dict[str, set[int]] = {}
        for row in there:
            for term in row.terms:
                truth.setdefault(term, set()).add(row.ordinal)
        listed = self.core.stores.terms.blocks("default", self.project.id)
        assert set().union(*listed.values()) == truth.keys()
        self.queries_answer(truth, [row.ordinal for row in there])
        counts = {tag.id: tag.image_count for tag in self.core.services.projects.tags(self.project)}
        assert counts == {id: len(truth.get(tag_term(id), ())) for id in counts}

    def queries_answer(self, truth: dict[str, set[int]], ordinals: list[int]) -> None:
        service = self.core.services.browsing
        cat, dog, a, site = (Term(name) for name in (tag_term(self.tags[0]), TAGGED, "meta:site=a", "has:site"))
        queries: list[Query] = [Term(name) for name in {ALL, *truth}]
        queries += [Except(Term(TAGGED)), AllOf((cat, Except(a))), AnyOf((cat, a)), AllOf((AnyOf((cat, site)), dog))]
        for query in queries:
            wanted = sorted(evaluate(query, lambda term: truth.get(term, set())))
            source = service.workspace(self.project)
            assert service.count(source, query) == len(wanted)
            page = service.page(source, ImageQuery(query, newest_first=True, skip=1, take=2))
            assert [row.ordinal for row in page] == wanted[::-1][1:3]
            page = service.page(source, ImageQuery(query, newest_first=False, skip=0, take=256))
            assert [row.ordinal for row in page] == wanted
        assert sorted(truth.get(ALL, ())) == ordinals


Workspace.TestCase.settings = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWorkspace = Workspace.TestCase
