"""Invented names: built of syllables, so that no model has ever read about who bears them."""

from collections.abc import Callable, Sequence

from agentgym.envs.search.dice import Dice
from agentgym.envs.search.text import normalise


def _listed(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ONSETS = _listed("b br d dr f g gr h j k kr l m n p r s sk st t tr v z th")
_VOWELS = _listed("a e i o u ae ei a e i o é ö å")
_CODAS = _listed("l n r s th k m nd rn sk v x")
_GIVEN_ENDS = _listed("a en o is ia un el ara im otte")
_FAMILY_ENDS = _listed("tok dan vik ster ley man brand quist ov ero")
_TOWN_ENDS = _listed("vale mere holm wick stad burn ford haven gate moor")
_RIVER_ENDS = _listed("ava ern ola une ith ess")
_FIRM_ENDS = _listed("ex on ar ius ent al")

_ADJECTIVES = _listed(
    "Amber Ashen Bitter Blue Borrowed Broken Burning Copper Crooked Distant Drowned Empty Feathered "
    "Folded Frozen Gilded Glass Green Grey Hidden Hollow Iron Ivory Last Little Lost Marble Midnight "
    "Narrow Northern Painted Pale Paper Quiet Red Restless Salt Scarlet Second Seventh Silent Silver "
    "Sleeping Slow Stolen Velvet Wandering White Wooden Yellow"
)
_THINGS = _listed(
    "Anchor Balcony Bell Bridge Candle Carpet Clock Compass Corridor Courtyard Door Engine Ferry "
    "Fountain Garden Harbour Island Key Ladder Lantern Letter Lighthouse Map Mirror Mountain Needle "
    "Orchard Palace Piano River Road Roof Sail Shadow Shore Stair Station Storm Thread Tower Train "
    "Umbrella Valley Violin Voyage Well Window Winter"
)
_ANIMALS = _listed(  # all with a plural in -s
    "Badger Beetle Cormorant Crane Curlew Falcon Ferret Gannet Hare Heron Kestrel Lizard Magpie "
    "Marten Moth Osprey Otter Owl Raven Robin Sparrow Starling Stoat Swift Tern Viper Weasel Wren"
)
_TRADES = _listed(
    "Bearings Brewery Cables Carriages Ceramics Foundry Glassworks Instruments Lamps Mills Motors "
    "Optics Paperworks Pianos Press Pumps Shipyard Textiles Tools Works"
)
_DEVICES = _listed(
    "Barometer Brake Caliper Churn Compressor Drill Furnace Gearbox Gramophone Hoist Kiln Lamp Lathe "
    "Loom Pump Sextant Signal Stove Telegraph Turbine Valve Windlass"
)
_SCHOOLS = ("Academy", "College", "Institute", "Polytechnic", "School of Arts")
_TOWN_PARTS = ("New", "Upper", "Lower", "Little")
_TRIES = 10_000  # more means that the pools are too small for this many documents


class Names:
    """Draws names that differ from each other by more than case, accents and articles."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._taken: set[str] = set()
        self._given = [self._coined(_GIVEN_ENDS) for _ in range(90)]
        families = [self._coined(_FAMILY_ENDS, syllables=1) for _ in range(200)]
        self._families = families + [self._similar(name) for name in families[:60]]
        self._firms = [self._coined(_FIRM_ENDS) for _ in range(140)]

    def person(self) -> str:
        """Given and family name; both are shared by several people."""
        return self._fresh(lambda: f"{self._draw(self._given)} {self._draw(self._families)}")

    def town(self, others: Sequence[str]) -> str:
        """One word; some are another town's name with a word before it."""
        single = [name for name in others if " " not in name]
        if single and self._dice.chance(0.15):
            return self._fresh(lambda: f"{self._draw(_TOWN_PARTS)} {self._draw(single)}")
        return self.coined_town()

    def coined_town(self) -> str:
        """One invented word."""
        return self._fresh(lambda: self._coined(_TOWN_ENDS, syllables=1))

    def river(self) -> str:
        """One word; articles call it `River` and this."""
        return self._fresh(lambda: self._coined(_RIVER_ENDS, syllables=1))

    def company(self) -> str:
        """An invented word shared by several companies, and a trade."""
        return self._fresh(lambda: f"{self._draw(self._firms)} {self._draw(_TRADES)}")

    def brand(self) -> str:
        """One invented word, another name of a company."""
        return self._fresh(lambda: self._coined(("o", "a", "ix", "ine")))

    def book(self) -> str:
        """An adjective and a thing."""
        return self._fresh(lambda: f"The {self._draw(_ADJECTIVES)} {self._draw(_THINGS)}")

    def band(self) -> str:
        """An adjective and animals."""
        return self._fresh(lambda: f"The {self._draw(_ADJECTIVES)} {self._draw(_ANIMALS)}s")

    def nickname(self) -> str:
        """An adjective and an animal, another name of a person; bands are called much alike."""
        return self._fresh(lambda: f"the {self._draw(_ADJECTIVES)} {self._draw(_ANIMALS)}")

    def invention(self) -> str:
        """An invented word and a device."""
        return self._fresh(lambda: f"{self._draw(self._firms)} {self._draw(_DEVICES)}")

    def school(self) -> str:
        """A family name and a kind of school."""
        return self._fresh(lambda: f"{self._draw(self._families)} {self._draw(_SCHOOLS)}")

    def _draw(self, options: Sequence[str]) -> str:
        return self._dice.pick(options)

    def _fresh(self, make: Callable[[], str]) -> str:
        for _ in range(_TRIES):
            name = make()
            key = normalise(name)
            if key not in self._taken:
                self._taken.add(key)
                return name
        raise AssertionError("no name is left: more documents need larger pools")

    def _coined(self, ends: Sequence[str], *, syllables: int = 0) -> str:
        syllables = syllables or self._dice.between(1, 2)
        parts = [self._draw(_ONSETS) + self._draw(_VOWELS) for _ in range(syllables)]
        return ("".join(parts) + self._draw(_CODAS) + self._draw(ends)).capitalize()

    def _similar(self, name: str) -> str:
        """Change one letter: Brandov becomes Brandor."""
        last = name[-1]
        return name[:-1] + self._draw([letter for letter in "aeklmnorstv" if letter != last])
