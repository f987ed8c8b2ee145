"""Everything but the data that determines the result of a training."""

from dataclasses import dataclass
from typing import Any

from pageflip.networks.build import INITIAL
from pageflip.networks.initial_weights import NONE, fingerprint
from pageflip.params.training import Augment, Fit, Train


@dataclass(frozen=True)
class TrainingRecipe:
    """Settings of a training.

    Attributes:
        network: registry name.
        settings: the network's section of `train.networks` without `fit`.
        fit: parameters of the training loop.
        augment: strengths of the augmentation.
        seed: of everything random.
    """

    network: str
    settings: dict[str, Any]
    fit: Fit
    augment: Augment
    seed: int

    @classmethod
    def from_params(cls, params: Train, network: str, **fit: Any) -> "TrainingRecipe":
        """Return the recipe of a network from the section `train`, with other values of `Fit` where given."""
        section = getattr(params.networks, network)
        return cls(
            network=network,
            settings=section.model_dump(exclude={"fit"}),
            fit=section.fit.applied_to(params.fit).model_copy(update=fit),
            augment=params.augment,
            seed=params.seed,
        )

    @property
    def initial(self) -> str:
        """The weights that training starts from; see `pageflip.networks.initial_weights.load_initial`."""
        return self.settings.get(INITIAL, NONE)

    def facts(self) -> dict[str, Any]:
        """Return the recipe as JSON, with the SHA-256 of the initial weights if there are any.

        Raises:
            ConfigError: there are no such weights.
        """
        facts = {"seed": self.seed, "network": self.network, "settings": self.settings}
        facts |= {"fit": self.fit.model_dump(), "augment": self.augment.model_dump()}
        digest = fingerprint(self.initial, self.network)
        return facts | ({"initial_sha256": digest} if digest else {})
