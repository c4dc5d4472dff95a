"""Modules of the other side: mirrors with equal parameters, buffers, gradients and mode, kept equal on both sides."""

from torch import Tensor, nn

from .wire import class_named, raw


class Mirror(nn.Module):
    """Stands for a module of the other side: its tensors and children are here, its forward is called there."""

    def forward(self, *args, **options):
        return self.remote(*args, **options)


class Modules:
    """What a Peer knows of modules. Each module in a tree has an id; those of this side begin with its name."""

    def start_modules(self) -> None:
        self.modules, self.module_ids, self.synced = {}, {}, {}  # id -> module; id(module) -> id; what was last told
        self.held = {}  # place -> the parameter that was there then

    def pack_module(self, module: nn.Module, out: list[Tensor]) -> dict:
        """A module that the other side knows is its id; else all that it needs to make a mirror."""
        if id(module) in self.module_ids:
            return {"id": self.module_ids[id(module)]}
        known = self._meet(self.new_id(), module)
        tensors = [[kind, name, self.pack(t.detach(), out), t.requires_grad] for kind, name, t in _tensors(module)]
        children = [
            [name, self.pack_module(child, out)] for name, child in module._modules.items() if child is not None
        ]
        name = "Linear" if isinstance(module, nn.Linear) else type(module).__name__
        form = {"id": known, "type": name, "tensors": tensors, "children": children, "training": module.training}
        return form | {"unsaved": sorted(module._non_persistent_buffers_set)}

    def unpack_module(self, form: dict, tensors: list[Tensor]) -> nn.Module:
        if "type" not in form:
            return self.modules[form["id"]]
        linear = form["type"] == "Linear"
        module = nn.Linear.__new__(nn.Linear) if linear else class_named(form["type"], Mirror).__new__(Mirror)
        nn.Module.__init__(module)
        for kind, name, packed, needs in form["tensors"]:
            t = self.unpack(packed, tensors)
            if kind == "gradient":
                module._parameters[name].grad = t
            else:
                _table(module, kind)[name] = nn.Parameter(t, requires_grad=needs) if kind == "parameter" else t
        module._non_persistent_buffers_set.update(form["unsaved"])
        if linear:
            module.out_features, module.in_features = module.weight.shape
            module._parameters.setdefault("bias", None)
        else:
            module.__dict__["remote"] = self.remote(form["id"])
        for name, child in form["children"]:
            module.add_module(name, self.unpack_module(child, tensors))
        module.training = form["training"]
        self._meet(form["id"], module)
        return module

    def _meet(self, known: str, module: nn.Module) -> str:
        self.modules[known], self.module_ids[id(module)] = module, known
        self.synced |= {(known, kind, name): (raw(t), t.requires_grad, None) for kind, name, t in _tensors(module)}
        self.held |= {(known, kind, name): t for kind, name, t in _tensors(module) if kind == "parameter"}
        self.synced[known, "mode", ""] = module.training
        return known

    def own_module(self, known: str) -> nn.Module:
        if not known.startswith(self.name):
            raise KeyError(known)
        return self.modules[known]

    def parameter_id(self, t: Tensor) -> list[str] | None:
        """[id of its module, its name there] of a parameter that both sides have."""
        for known, module in self.modules.items():
            for name, p in module._parameters.items():
                if p is t:
                    return [known, name]
        return None

    # --- kept equal ---

    def state(self, out: list[Tensor]) -> tuple[list, list[Tensor]]:
        """What has changed in modules that both sides have, and `out` with the new numbers after it. Of a tensor that
        has come to share another's memory, it says which other's; of a gradient that is gone, nothing; of a parameter,
        whether another object has taken its place."""
        changes, places, out = [], {}, list(out)
        for known, module in self.modules.items():
            if module.training != self.synced[known, "mode", ""]:
                self.synced[known, "mode", ""] = module.training
                changes.append([(known, "mode", ""), None, module.training, None, False])
            for kind, name, t in _tensors(module):
                place = known, kind, name
                first = places.setdefault(t.data_ptr(), place)
                now = raw(t), t.requires_grad, None if first == place else first
                another = self.held.get(place, t) is not t
                if another or now != self.synced.get(place):
                    self.synced[place] = now
                    changes.append([place, len(out), *now[1:], another])
                    out.append(t.detach())
                if another:
                    self.held[place] = t
        for place in [p for p in self.synced if p[1] == "gradient"]:
            if self.modules[place[0]]._parameters[place[2]].grad is None:
                del self.synced[place]
                changes.append([place, None, None, None, False])
        return changes, out

    def set_state(self, changes: list, tensors: list[Tensor]) -> None:
        for place, number, needs, shares, another in changes:
            if place[1] == "mode":
                self.modules[place[0]].training = self.synced[tuple(place)] = bool(needs)
                continue
            if place[1] == "gradient":
                self.modules[place[0]]._parameters[place[2]].grad = None if number is None else tensors[number]
                self.synced.pop(tuple(place), None)
                if number is not None:
                    self.synced[tuple(place)] = raw(tensors[number]), needs, tuple(shares) if shares else None
                continue
            if another:
                table = _table(self.modules[place[0]], place[1])
                table[place[2]] = self.held[tuple(place)] = nn.Parameter(tensors[number], requires_grad=bool(needs))
            t = self._held(*place)
            t.data = self._held(*shares).data if shares else tensors[number]
            if t.is_leaf and t.requires_grad != needs:
                t.requires_grad_(needs)
            self.synced[tuple(place)] = raw(t), needs, tuple(shares) if shares else None

    def _held(self, known: str, kind: str, name: str) -> Tensor:
        return _table(self.modules[known], kind)[name]


def _tensors(module: nn.Module) -> list[tuple[str, str, Tensor]]:
    """A module's own tensors, without its children's; gradients come last."""
    found = [(kind, *item) for kind in ("parameter", "buffer") for item in _table(module, kind).items()]
    found += [("gradient", name, p.grad) for name, p in module._parameters.items() if p is not None]
    return [item for item in found if item[2] is not None]


def _table(module: nn.Module, kind: str) -> dict[str, Tensor | None]:
    return module._parameters if kind == "parameter" else module._buffers
