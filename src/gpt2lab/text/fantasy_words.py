"""The words and sentences of `builtin:fantasy`, as rules: what a symbol may become."""

from __future__ import annotations

Rules = dict[str, tuple[str, ...]]


def _rules(text: str) -> Rules:
    """`symbol: a phrase, another`, a line each; a symbol may have several lines."""
    rules: Rules = {}
    for line in text.strip().splitlines():
        symbol, _, phrases = line.strip().partition(": ")
        rules[symbol] = (*rules.get(symbol, ()), *phrases.split(", "))
    return rules


BEGINNINGS = (("opening", "setting"), ("opening", "seeing", "setting"), ("opening", "setting", "seeing"))
ASPECTS = ("seeing", "seeing", "hearing", "smelling", "touching", "living", "roaming", "history", "legend", "skies")

KINDS: dict[str, Rules] = {
    "harbour": _rules("""
        noun: harbour, port, anchorage
        ground: wet cobbles, shingle, tarred planking
        things: mooring posts, salt-stained warehouses, upturned hulls, rusted cranes, lobster pots, waterfront taverns
        things: figureheads without ships, stacked barrels
        mark: lighthouse, sea wall, customs house, drowned pier, sailmaker's loft, shipwright's yard
        smell: brine, hot pitch, drying kelp, smoked herring, wet rope, whale oil
        sound: the slap of water on stone, straining hawsers, gulls quarrelling over scraps, a capstan turning
        sound: the groan of hulls at anchor, sailors swearing softly in six languages
        folk: net-menders, harbour pilots, retired smugglers, one-eyed captains, fishwives
        work: mend sails by feel, gut the morning's catch, haggle over crates of spice, caulk leaking boats
        work: chalk the tides on every door
    """),
    "forest": _rules("""
        noun: forest, wood, greenwood
        ground: leaf mould, moss, tangled roots
        things: silver birches, fallen trunks, bramble thickets, hollow oaks, toadstool rings, antlered thorn trees
        things: ferns as tall as riders, wolf-clawed pines
        mark: charcoal burner's hut, moss-grown altar, hunting lodge, hanging shrine, ring of stones, woodwards' gate
        smell: resin, crushed fern, wet bark, wild garlic, mushrooms, fox musk
        sound: acorns dropping one by one, a woodpecker at work, leaves turning over in their sleep, distant axes
        sound: a brook talking to itself, branches rubbing together like hands
        folk: charcoal burners, poachers, herb gatherers, green-cloaked wardens, exiles
        work: tap the maples for syrup, set snares they seldom check, tie ribbons to the oldest boughs
        work: gather kindling in baskets of willow, mark safe trails with chalk
    """),
    "market": _rules("""
        noun: market, bazaar, trading square
        ground: trampled straw, worn flagstones, spilled grain
        things: striped awnings, towers of wicker cages, pepper sacks, brass scales, carpet stalls, lamp sellers' poles
        things: trestle tables, painted wagons
        mark: clock of shadows, money changers' arcade, well house, auction hall, puppet theatre, weighing hall
        smell: saffron, roasting chestnuts, camel leather, cut melons, burnt sugar, cheap perfume
        sound: coins counted in a whisper, parrots repeating old bargains, hawkers crying their prices, dice in a cup
        sound: a barrel organ losing its tune, the rip of new silk
        folk: spice merchants, pickpockets, fortune tellers, rug dealers, knife grinders
        work: bargain with fingers hidden under a cloth, sell bottled echoes, juggle lemons for small change
        work: swear by gods nobody else has heard of, weigh every promise twice
    """),
    "temple": _rules("""
        noun: temple, sanctuary, shrine
        ground: cracked mosaic, marble dust, candle wax
        things: faceless statues, broken columns, prayer wheels, bronze braziers, offering bowls, votive lamps
        things: carved serpents, kneeling benches
        mark: high altar, bell tower, oracle's well, treasury, stair of penitents, reliquary
        smell: incense, cold ash, myrrh, old vellum, snuffed candles, crushed lilies
        sound: a gong struck far below, robes brushing over stone, a choir that never quite begins, doves under the dome
        sound: beads slipping through fingers, the flutter of small flames
        folk: novices, barefoot priests, pilgrims, silent sisters, relic keepers
        work: sweep the same step all day, feed oil to the lamps, chant the names of the forgotten
        work: copy prayers onto rice paper, anoint the thresholds with wine
    """),
    "library": _rules("""
        noun: library, archive, reading house
        ground: polished oak boards, faded carpet, fallen pages
        things: sagging shelves, rolling ladders, reading desks, chained folios, globes of lost worlds, map cabinets
        things: ink-stained lecterns, pigeonholes stuffed with scrolls
        mark: catalogue room, locked gallery, scriptorium, rotunda, bindery, spiral stair
        smell: dust, book glue, iron gall ink, lamp oil, mouse nests, sealing wax
        sound: pages turning unaided, a pen scratching without pause, the cough of an unseen reader
        sound: a cart with one bad wheel, dry leather easing on its spines, whispered footnotes
        folk: archivists, apprentices, scholars in fingerless gloves, translators, night porters
        work: dust the forbidden volumes with averted eyes, argue about commas, index their own dreams
        work: carry trays of tea up endless ladders, repair torn maps with hair-fine thread
    """),
    "mountain pass": _rules("""
        noun: mountain pass, pass, saddle
        ground: scree, bare granite, thin snow
        things: tumbled boulders, prayer flags, stunted larches, waymarkers, wind-carved spires, goat pens
        things: snow fences, stone shepherd huts
        mark: toll gate, hospice, signal beacon, rope bridge, cairn of the lost, watchtower
        smell: cold stone, juniper smoke, wool, mountain thyme, goat's milk, snow to come
        sound: pebbles rattling into the gulf, a far avalanche, mule bells, an eagle's single cry
        sound: the wind playing the crags like flutes, ropes humming under load
        folk: muleteers, hermits, toll keepers, ice cutters, mountain guides
        work: rope the caravans together, boil barley in soot-black kettles, read the clouds for danger
        work: lay a stone on every grave, blow horns to guide the late
        usual_weather: mist, snow, wind, clear, frost, storm
    """),
    "swamp": _rules("""
        noun: swamp, fen, marsh
        ground: black peat, sucking mud, floating moss
        things: drowned willows, crooked stilts, reed beds, half-sunk punts, cypress knees, eel traps
        things: bulrushes, rotting jetties
        mark: witch's causeway, ferry stage, heron house, corpse gate, peat cutters' shed, leaning chapel
        smell: rot, marsh gas, bog myrtle, stagnant water, wet feathers, turf smoke
        sound: frogs by the thousand, bubbles breaking in the ooze, the whine of midges, a bittern booming
        sound: a pole drawn slowly out of mud, something large turning over in the water
        folk: eel catchers, peat cutters, bog witches, leech gatherers, ferrymen
        work: pole flat boats through the duckweed, dry their boots over small fires, trade charms for tobacco
        work: dig old swords out of the turf, sing to keep the lights away
        usual_weather: mist, rain, wind, heat, storm, frost
    """),
    "desert city": _rules("""
        noun: desert city, caravan city, oasis
        ground: drifting sand, sun-baked clay, salt crust
        things: date palms, mud-brick towers, water jars, kneeling camels, wind catchers, tiled doorways
        things: sun-bleached tents, dry fountains
        mark: cistern, caravanserai, astrologers' terrace, gate of sighs, buried palace, salt exchange
        smell: hot sand, cardamom, dung fires, orange blossom, saddle grease, mint tea
        sound: sand hissing along the walls, a water seller's cup, camels grumbling, a lute with three strings
        sound: the creak of a well rope, shutters closing street by street
        folk: water sellers, caravan masters, veiled astrologers, salt traders, well diggers
        work: measure water by the thimble, trade stories for shade, bury their treasure and forget where
        work: chart the stars on camel hide, wash their hands in clean sand
        usual_weather: wind, clear, heat
    """),
    "cavern": _rules("""
        noun: cavern, cave, grotto
        ground: wet limestone, fine grey silt, shattered crystal
        things: dripping stalactites, blind white pillars, crystal clusters, glowing fungi, bone heaps
        things: flowstone curtains, painted handprints, mineral terraces
        mark: underground jetty, dwarf-cut stair, throne of quartz, sunless chapel, miners' camp, echo gate
        smell: wet clay, sulphur, bat droppings, cold iron, lamp smoke, old water
        sound: drops falling into black pools, an echo that answers late, bats unfolding, a river under the floor
        sound: stone settling on stone, your own heart
        folk: crystal cutters, mushroom farmers, pale fishers, torch bearers, cave hermits
        work: harvest the glowing caps by touch, lower lamps into unmeasured shafts, carve their dead into the walls
        work: fish for eyeless trout, keep a count of the drops
        sky: far above ground {weather}, outside {weather}, in the upper world {weather}
        light: lamps burn at all hours between the {things}, the dark begins where the last torch ends
        light: the fungi give off a patient green glow, the {mark} floats in a small island of lamplight
        light: sparks of crystal answer every flame, a single shaft of daylight has lost its way among the {things}
    """),
    "island": _rules("""
        noun: island, isle, holm
        ground: coral sand, black pebbles, sea grass
        things: leaning palms, wrecked longboats, standing idols, driftwood cabins, gull-whitened rocks
        things: bleached whale ribs, shell mounds, outrigger canoes
        mark: castaway's lookout, turtle temple, tidal causeway, beacon, chieftain's longhouse, pirates' chapel
        smell: coconut smoke, salt, frangipani, sun-dried fish, warm seaweed, guano
        sound: breakers on the outer reef, a conch blown from the headland, palm fronds clattering, parrots
        sound: the surf dragging its stones, drums across the lagoon
        folk: pearl divers, castaways, canoe builders, turtle priests, wreckers
        work: dive with stones tied to their ankles, tattoo the tides on their arms, burn false lights
        work: trade pearls for news, read the future in shells
        usual_weather: mist, rain, wind, storm, clear, heat
    """),
    "tower": _rules("""
        noun: tower, spire, keep
        ground: chipped stairs, raven droppings, cold ashlar
        things: arrow slits, gargoyles, iron lanterns, spiral steps, cracked battlements, forked lightning rods
        things: star charts, ivy-choked buttresses
        mark: wizard's study, rookery, gatehouse, summoning chamber, brass observatory, dungeon gate
        smell: ozone, singed parchment, raven feathers, quicksilver, mouldering tapestry, tallow
        sound: a clock with thirteen hours, footsteps on the floor above, chains taking up slack, wings in the dark
        sound: glass vessels simmering, the wind trying every door
        folk: alchemists, apprentice wizards, gaolers, stargazers, raven keepers
        work: distil moonlight into jars, polish lenses nobody dares look through, feed letters to the fire
        work: count the steps and never agree, argue with their reflections
    """),
    "bridge": _rules("""
        noun: bridge, viaduct, long crossing
        ground: timber planks, rutted paving, iron grating
        things: crooked houses, stone arches, chain posts, moss-slick parapets, saints with missing hands
        things: hanging baskets, toll booths, balconies over nothing
        mark: middle tower, drawbridge, bridge chapel, troll gate, windlass house, charter stone
        smell: river fog, tanners' vats, wet iron, frying onions, horse sweat, algae
        sound: water tearing at the piers, carts drumming overhead, a ferryman's warning horn, swifts screaming
        sound: old chains speaking under the load, a coin dropped and never landing
        folk: toll takers, bridge dwellers, anglers, lamplighters, masons on ropes
        work: lower baskets for the river's post, toll one bell for every stranger, paint the ironwork without end
        work: rent their windows to suitors, sweep the fog out with brooms
    """),
    "graveyard": _rules("""
        noun: graveyard, necropolis, burial ground
        ground: sunken turf, gravel, fallen petals
        things: tilted headstones, weeping angels, black yews, family vaults, iron crosses, urns choked with ivy
        things: open graves, lichened obelisks
        mark: lych gate, charnel house, king's tomb, sexton's cottage, mourning chapel, ossuary
        smell: turned earth, yew, wilted roses, damp stone, grave wax, extinguished candles
        sound: a spade biting clay, crows conferring, a gate that will not stay shut, a bell with no rope
        sound: soft knocking from no direction, ivy scratching on marble
        folk: gravediggers, widows, lantern wardens, epitaph carvers, professional mourners
        work: leave bread for the sleepers, re-cut names the rain has taken, play cards on the flattest tombs
        work: salt the paths, read letters aloud to the dead
    """),
    "garden": _rules("""
        noun: garden, orchard, pleasure ground
        ground: raked gravel, clipped thyme, fallen blossom
        things: topiary beasts, rose arches, espaliered pears, stone nymphs, sundials, overgrown mazes
        things: glass cloches, lily urns
        mark: summer pavilion, glasshouse, moon gate, dovecote, walled nursery, singing fountain
        smell: honeysuckle, bruised apples, cut box, warm compost, jasmine, tomato leaf
        sound: bees in the lavender, shears at their slow work, water stepping down from bowl to bowl
        sound: a peacock's complaint, ripe plums falling, a swing moving by itself
        folk: gardeners, exiled princesses, beekeepers, grafters, perfumers
        work: graft silver boughs on wild stock, whisper to sulking bulbs, bottle the scent of evening
        work: prune by the phases of the moon, hunt slugs by lantern
        usual_weather: mist, rain, clear, heat, wind
    """),
    "glacier": _rules("""
        noun: glacier, ice field, frozen waste
        ground: blue ice, wind-packed snow, frozen gravel
        things: leaning seracs, whalebone poles, ice-bound ships, sledges, snow-buried statues, mammoth tusks
        things: frozen waves, cairns
        mark: ice gate, whalebone hall, signal mast, sled makers' camp, crevasse bridge, giant's cairn
        smell: whale fat, blubber lamps, wet fur, frozen iron, reindeer hide, old ice
        sound: ice cracking for miles, sled runners, dogs that howl in harmony, meltwater deep in its blue pipes
        sound: the long sigh of settling snow, a harpoon struck on a shield
        folk: sled drivers, seal hunters, bone carvers, ice wardens, fur traders
        work: melt snow for their tea, carve flutes from bear bone, keep one flame alive for all
        work: track white foxes over white ground, sew by the glow of blubber lamps
        usual_weather: snow, wind, clear, frost, mist
    """),
    "mine": _rules("""
        noun: mine, delving, pit
        ground: broken slag, rail ties, ore dust
        things: pit props, ore carts, rusted rails, abandoned picks, timbered galleries, slag heaps
        things: canary cages, iron-bound doors
        mark: winding house, assay office, pumping engine, powder store, foreman's shrine, smelting hall
        smell: blasting powder, hot grease, damp timber, coal smoke, candle stubs, raw copper
        sound: hammers in a distant gallery, timbers complaining, a cart rolling by itself, water at the pumps
        sound: three knocks from behind the rock, the whistle for a shift long over
        folk: miners, gem cutters, powder monkeys, dwarf foremen, widowed cooks
        work: tap the walls and listen, share their bread with the knockers, sharpen picks by candle
        work: wash gold from old slag, name every seam after a sweetheart
        sky: up at the pithead {weather}, in the upper world {weather}, above ground {weather}
        light: the lamps burn at all hours, each helmet carries its own small day
        light: the dark behind the {things} is complete
        light: candle flames lean towards the draught, the {mark} stands in a puddle of yellow lamplight
        light: ore glitters for a moment and is gone
    """),
    "village": _rules("""
        noun: village, hamlet, settlement
        ground: packed earth, puddled lanes, mown grass
        things: thatched cottages, crooked chimneys, hay ricks, bean rows, split-rail fences, beehives
        things: washing lines, carved gables
        mark: mill, moot hall, blacksmith's forge, tithe barn, maypole, alehouse
        smell: baking bread, manure, woodsmoke, apple pulp, wet dog, fresh hay
        sound: a mill wheel going round, geese on the warpath, a hammer on an anvil, children counting in a game
        sound: a fiddle being tuned, cows coming home
        folk: millers, shepherds, midwives, blacksmiths, grandmothers in black
        work: leave milk out for the small folk, gossip across the hedges, brew cider in stolen barrels
        work: carve owls over their doors, blame the weather on the next valley
    """),
    "inn": _rules("""
        noun: inn, tavern, wayhouse
        ground: sawdust, scrubbed boards, muddy cobbles
        things: smoke-black beams, dented mugs, high-backed settles, antlers hung with hats, wine casks, creaking stairs
        things: diamond-paned windows, saddle racks
        mark: great chimney, stable block, gatepost, bell turret, minstrels' gallery, cellar stair
        smell: mulled wine, mutton stew, pipe tobacco, drying cloaks, beeswax, spilled ale
        sound: a dulcimer missing one string, dice on oak, horses shifting in their stalls, laughter through a wall
        sound: a kettle lid, the landlord's keys
        folk: carters, wandering minstrels, sellswords, pedlars, runaway heirs
        work: trade news for supper, dry their socks at the fire, lie about dragons
        work: lose their wages at cards, drink to absent friends
    """),
    "sunken city": _rules("""
        noun: sunken city, drowned city, sea-deep town
        ground: white silt, broken shells, barnacled paving
        things: coral-crusted columns, toppled spires, swaying kelp, bronze gates, weed-hung statues, scattered amphorae
        things: mosaic streets, marble lions
        mark: drowned forum, tide organ, pearl vault, palace of nets, admirals' tomb, abbey of the deep
        smell: salt, cold mud, ambergris, rust, sea lettuce, iodine
        sound: a bell moved by the current, whales passing, the click of crabs on marble, bubbles rising from cellars
        sound: the sea breathing in and out, muffled hymns
        folk: merfolk, wreck divers, drowned scribes, tide priests, eel herders
        work: polish windows that no light reaches, harness the currents with silk, hang lamps of living jelly
        work: trade amber for names, herd silver shoals through the avenues
        sky: far above the waves {weather}, up in the dry world {weather}
        light: a green light sifts down between the {things}, ripples of brightness crawl over the {ground}
        light: shoals darken the avenues like passing clouds, the {mark} glimmers as if through old glass
        light: lamps of living jelly pulse in the doorways, the surface is only a rumour of silver
        beasts: blind sharks, lantern eels, sea horses in faded harness, thoughtful octopuses, crabs with painted shells
        beasts: silver rays, barnacled turtles, pale sea serpents
    """),
    "sky city": _rules("""
        noun: sky city, floating town, cloud haven
        ground: cloud-damp tiles, woven cable, pale driftstone
        things: tethered balloons, spinning vanes, rope ladders, airship docks, canvas windmills, hanging gardens
        things: silk sails, glass domes
        mark: wind temple, anchor tower, aerodrome, lightning hall, kite academy, belfry of the four airs
        smell: thunder, ozone, hot varnish, wet canvas, feathers, jasmine tea
        sound: vanes ticking round, kites snapping, taut cables singing, geese flying underneath
        sound: balloon burners coughing, prayer drums from the next island
        folk: kite riders, cable walkers, balloonists, rain farmers, cloud shepherds
        work: haul rain up in buckets, knit nets against falling, race paper gliders for coin
        work: tie down the washing and the children, sell weather by the yard
        usual_weather: mist, rain, wind, storm, clear, frost
    """),
    "volcano": _rules("""
        noun: volcano, fire mountain, smoking peak
        ground: black cinders, warm ash, cooled lava
        things: glass-edged ridges, obsidian pillars, steaming vents, charred trunks, sulphur chimneys, idol heads
        things: lava tubes, basalt organ pipes
        mark: forge of the deep, crater temple, ash-buried villa, fire watchers' hut, bridge of chains, dragon roost
        smell: brimstone, scorched earth, molten iron, hot pumice, burnt hair, resin
        sound: the mountain clearing its throat, cinders pattering down, a hiss from every crack, giant hammers
        sound: stones splitting in the heat, a low red mutter
        folk: fire priests, obsidian knappers, swordsmiths, salamander keepers, ash farmers
        work: quench blades in vinegar, read omens in the smoke, plant vines in the ash
        work: cook eggs in the warm sand, throw gold into the crater
        usual_weather: wind, clear, heat, storm, mist
    """),
    "battlefield": _rules("""
        noun: battlefield, war plain, killing ground
        ground: trampled grass, red clay, rust-brown mud
        things: broken lances, ragged banners, burial mounds, siege engines, shield walls, empty helmets
        things: rotting palisades, chariot wheels
        mark: victor's column, last redoubt, surgeon's tent, truce stone, widows' well, king's cairn
        smell: rust, wet leather, poppies, old smoke, horses, thistles
        sound: banners tearing a little more, ravens, an order shouted by nobody, bridles jingling in the dark
        sound: a drum heard only underfoot, grass moving over iron
        folk: scavengers, veterans, banner menders, ghost soldiers, bone collectors
        work: sort the arrowheads by kingdom, sing both anthems, plough around the dead
        work: argue over who had won, melt swords into ploughshares
    """),
    "observatory": _rules("""
        noun: observatory, star house, star college
        ground: chalked slate, brass inlay, worn velvet
        things: brass telescopes, orreries, cracked lenses, star globes, pendulums, armillary spheres
        things: water clocks, calculating frames
        mark: great dome, meridian hall, comet gallery, eclipse chamber, lens grinders' cellar, stair of hours
        smell: machine oil, chalk, cold brass, camphor, burnt coffee, lens polish
        sound: gears engaging, a dome rumbling open, chalk on slate, the tick of a planet too many
        sound: a metronome, muttered sums
        folk: astronomers, clockmakers, comet hunters, lens grinders, royal astrologers
        work: sell eclipses in advance, polish mirrors with rouge, quarrel about the colour of Mars
        work: listen to the stars through ear trumpets, sleep at their desks
    """),
    "valley": _rules("""
        noun: valley, vale, dale
        ground: meadow grass, river stones, clover
        things: terraced vineyards, stone walls, water meadows, poplar rows, standing stones, sheepfolds
        things: wild cherry trees, wooden footbridges
        mark: packhorse bridge, giants' stair, monks' winepress, boundary gate, hill fort, ford keeper's house
        smell: clover, sheep, river mint, hay, plum blossom, peat smoke
        sound: a river over stones, larks going up, scythes in step, a shepherd's pipe
        sound: bells from a church that moved away, wind in the barley
        folk: shepherds, vintners, drovers, basket weavers, stone wallers
        work: tread grapes to an old chant, count sheep in a dead language, bake the moon into bread
        work: drive cattle between two fires, mow in one long line
    """),
}

MOODS: dict[str, Rules] = {
    "mournful": _rules("""
        adj: mournful, grieving, grey, tear-worn, faded, sorrowing, hushed, bereft, wilted, downcast
        feeling: grief, a sorrow too old to name, regret, homesickness, the ache of farewell, something like mourning
        verdict: nobody here speaks of the future, every door seems to have just closed behind someone
        verdict: even laughter sounds like something remembered, what was lost here has never stopped being lost
    """),
    "serene": _rules("""
        adj: serene, gentle, unhurried, mild, drowsy, kindly, peaceful, tender, calm, well-loved
        feeling: peace, contentment, quiet gratitude, ease, an old friendship, the patience of trees
        verdict: nothing here is in a hurry, whatever you carried in seems lighter, even time takes off its shoes here
        verdict: the heart slows without being asked
    """),
    "menacing": _rules("""
        adj: menacing, baleful, watchful, sullen, cruel, hungry, ill-omened, brooding, venomous, unforgiving
        feeling: dread, malice, a threat not yet spoken, unease, a hunger held in check, a cold warning
        verdict: something has noticed you, it is unwise to linger, no one who whistles here whistles twice
        verdict: whatever waits here is in no haste
    """),
    "joyful": _rules("""
        adj: joyful, merry, bright, rollicking, generous, sunny-hearted, exuberant, laughing, festive, glad
        feeling: delight, mischief, a sense of holiday, good luck, the joy of arrival, a song about to begin
        verdict: strangers become cousins by supper, it is hard to frown here and nobody tries for long
        verdict: somebody is always about to dance, luck comes easily and stays for a drink
    """),
    "mysterious": _rules("""
        adj: mysterious, veiled, secretive, enigmatic, shadowed, labyrinthine, half-seen, uncharted, cryptic, sly
        feeling: secrecy, a question nobody asks aloud, expectation, something withheld, an old riddle, curiosity
        verdict: every answer here opens on another door, the place seems to know more than it tells
        verdict: no two maps of this place agree, a second look shows what the first one missed
    """),
    "solemn": _rules("""
        adj: solemn, venerable, stately, austere, hallowed, majestic, noble, ancient, reverent, dignified
        feeling: awe, reverence, the weight of years, a sense of duty, ceremony, an oath still kept
        verdict: voices drop by themselves, one walks here as one walks past a sleeper
        verdict: time has been kind and strict in equal measure, nothing is done here without witnesses
    """),
    "dreamlike": _rules("""
        adj: dreamlike, weightless, opaline, shimmering, wavering, unreal, moon-touched, hovering, silken, strange
        feeling: wonder, the edge of sleep, the logic of dreams, enchantment, something almost remembered, tenderness
        verdict: distances change while you look, one is never sure of having arrived
        verdict: even footprints seem to change their minds, names come loose from things here
    """),
    "desolate": _rules("""
        adj: desolate, barren, forsaken, bleak, hollow, stark, wind-scoured, abandoned, lonely, threadbare
        feeling: emptiness, solitude, abandonment, a great silence, long neglect, the end of things
        verdict: few stay and fewer return, whatever happened here finished happening long ago
        verdict: the horizon offers nothing and keeps its word, hope is rationed like water
    """),
}

TIMES: dict[str, Rules] = {
    "dawn": _rules("""
        hour: at dawn, at first light, in the hour before sunrise, when the cocks begin, as the night thins, at daybreak
        light: the first light picks out the {things} one by one, a thin pink line opens in the east
        light: day comes on tiptoe
        light: the last lamps are going out, the darkness comes apart like wet paper, the {mark} has no colour yet
        light: night still clings to the {things}
    """),
    "morning": _rules("""
        hour: in the morning, while the dew lasts, before the day grows old, early in the forenoon, soon after breakfast
        light: the morning lies fresh over the {things}, long shadows point towards the west, the day is young and clean
        light: a washed light fills every hollow, the {mark} looks newly made, all the colours have been put back
        light: the {things} throw their shadows far across the {ground}
    """),
    "noon": _rules("""
        hour: at noon, at the height of the day, when shadows are shortest, at the stroke of twelve, at midday
        light: the shadows have crept under the {things} to hide, noon holds its breath, the day stands on its summit
        light: there is nowhere for a shadow to go, the {mark} has swallowed its own shadow, the hour has no edges
        light: even the {colour} of the {mark} seems louder
    """),
    "afternoon": _rules("""
        hour: in the afternoon, in the slow hours after lunch, late in the day, as the day grows heavy, towards teatime
        light: the light turns to honey among the {things}, the afternoon stretches like a cat, the day is ripening
        light: shadows begin to lengthen over the {ground}, a drowsy light leans on the {mark}
        light: the {things} seem to be thinking of the evening, the best of the day is poured out slowly
    """),
    "dusk": _rules("""
        hour: at dusk, at nightfall, in the blue hour, when the lamps are lit, as evening closes in, at lighting-up time
        light: the {things} lose their colours one after another, dusk pours in from the edges, one lamp answers another
        light: somewhere the first lamp is lit, violet shadow fills the hollows, the {mark} turns into its own outline
        light: the day goes out by the back door
    """),
    "night": _rules("""
        hour: at midnight, in the dead of night, long after dark, in the small hours, when honest people sleep
        light: the {things} are only darker pieces of the dark, a few lanterns hold the night apart
        light: darkness has its elbows on every sill, the night is wide awake, the {mark} can be felt rather than seen
        light: a single window burns {far}, the dark has a grain like wood
    """),
}

WEATHERS: dict[str, Rules] = {
    "mist": _rules("""
        weather: mist swallows every edge, a white fog feels its way forward, vapour hangs in torn veils
        weather: the mist has taken all distance away, thin fog beads on every thread and eyelash
        weather: the haze is full of shapes that come to nothing, one can see an arm's length and no farther
    """),
    "rain": _rules("""
        weather: rain falls in long grey threads, a fine drizzle blurs all outlines, rain ticks and trickles everywhere
        weather: the rain has not stopped for nine days, a shower comes and goes like a shy guest
        weather: every gutter is talking, the wet has brought out colours that are never seen in dry weather
    """),
    "snow": _rules("""
        weather: snow comes down without a sound, large slow flakes drift past, fresh snow has rounded every corner
        weather: powdery snow creeps into each crack, the snowfall muffles even the nearest voice
        weather: the snow keeps a record of every step, the flakes seem to rise as often as they fall
    """),
    "wind": _rules("""
        weather: a steady wind leans on everything, gusts run about like dogs let loose
        weather: the breeze keeps changing its mind
        weather: a dry wind carries grit and gossip from far away, the wind tugs at sleeves and hair
        weather: whatever is loose has long since blown away, the gale has a voice and uses it
    """),
    "storm": _rules("""
        weather: thunder walks along the horizon, lightning shows everything twice, hail and thunder take turns
        weather: a storm is piling up its dark furniture, the air tastes of lightning, the clouds have turned to bruises
        weather: the tempest has been coming closer all day
    """),
    "clear": _rules("""
        weather: the air is as clear as a struck glass, not one cloud dares the sky, the sky stands open and very high
        weather: each far-off detail looks near enough to touch, the clean air makes every line sharp
        weather: the air has been rinsed and hung out to dry, one can see for a week in all directions
    """),
    "heat": _rules("""
        weather: the heat trembles over everything, warm air lies as thick as wool, nothing moves in the heavy warmth
        weather: the heat has made everybody slow and frank, a sultry haze softens the horizon
        weather: the air is too hot to argue in, even the flies have given up
    """),
    "frost": _rules("""
        weather: frost has drawn feathers on every surface, the cold bites through two pairs of gloves
        weather: breath turns to smoke at once, hoarfrost whitens each blade and rope, the bitter cold rings like metal
        weather: every puddle wears a lid of ice, the frost makes small bones of the twigs
    """),
}

VARIABLES: dict[str, dict[str, Rules]] = {"kind": KINDS, "mood": MOODS, "time": TIMES, "weather": WEATHERS}

WORDS: Rules = _rules("""
    head: vel, mor, ash, bryn, cal, dor, el, fen, gal, har, is, jor, kel, lor, myr, nor, or, pel, quen, ril, sar, tal
    head: ul, var, wyn, xan, yl, zeph, thren, skar
    middle: a, e, i, o, u, an, en, ir, or, und, eth, al
    tail: dun, mora, thas, wick, riel, gard, loth, mir, neth, ros, vale, dra, thil, wen, bar, kesh, lin, nor, sil, tor
    fore: thorn, raven, salt, iron, moon, star, grey, black, frost, amber, hollow, wolf, ember, glass, silver, crow
    fore: willow, storm, bone, candle, copper, widow
    aft: mere, fall, watch, hurst, reach, gate, haven, wick, march, barrow, rest, ford, hithe, crown, spire, moor
    title: Old, Upper, Nether, Saint, Far, Little, High, Lost
    shape: hunched, slender, squat, weathered, patched, gaunt, lopsided, massive, spindly, blackened
    shape: half-ruined, broad-shouldered, delicate, stubborn, nameless, silent, well-worn, storm-battered, stooping
    shape: enormous, graceful, narrow, neglected, solitary, uneven, time-bitten
    colour: rust-red, pearl-grey, verdigris, ochre, indigo, bone-white, amber, moss-green, slate-blue, wine-red
    colour: ash-grey
    colour: copper, lilac, soot-black, milk-white, saffron-yellow, emerald, rose-pink, pewter, tarnished silver
    material: basalt, bog oak, pale granite, fired clay, driftwood, petrified bone, green copper, volcanic glass
    material: honey-coloured sandstone, riveted iron, ivory, shipwreck timber, chalk, star metal, red marble
    stand: stand in crooked rows, lean towards one another, crowd together, keep their distance, wait in the half-light
    stand: rise from the {ground}, huddle against the slope, lie where they fell, face every direction but one
    stand: hide more than they show, mark out a forgotten pattern, seem to listen, guard the way in
    like: like teeth in a patient jaw, like guests at a wedding nobody wanted, like old men before a chessboard
    like: like notes on a stave, like sleepers sharing one blanket, like children caught at mischief
    like: like letters of an alphabet nobody reads, like beggars at a gate, like actors who forgot the next line
    like: like pieces left over from another world, like ships becalmed, like hands raised in greeting
    like: like soldiers after a very long parade, like candles on an altar, like cattle before rain
    far: at the far end, on the highest point, where the path bends, a little apart from the rest, in the very middle
    far: on the northern side, down in the hollow, behind a screen of thorns, at the edge of sight, out of the wind
    state: streaked with {colour} lichen, worn smooth by generations of hands, half hidden under creepers
    state: scarred by an old fire, carved with unreadable verses, patched with {material}, furred with dust
    state: chained shut against nobody, inlaid with {material}, bent by the weight of years, crowned with nests
    state: polished by weather, bound with {colour} cord, eaten away from below
    number: three, five, seven, nine, eleven, a dozen, thirteen, seventeen, nineteen, forty, ninety-nine, a hundred
    sign: an open eye, a hare, seven stars, a door within a door, a weeping sun, a black feather, two crossed keys
    sign: an hourglass, a spiral, the face of a child
    hung: faded ribbons, copper bells, folded prayers, strings of teeth, coloured rags, tiny mirrors, locks of hair
    hung: tin masks, dried herbs, paper birds
    hush: a long quiet, a pause, a silence one could lean on, a stillness full of ears, nothing but an echo
    echo: like a promise in another room, like breath on cold glass, like a name called once, like a tune half learned
    echo: like rain on a drum, like footsteps on a stair, like silk being torn, like someone turning in bed
    taste: iron, honey, smoke, bitter almonds, salt, snowmelt, cloves, old coins, ginger, unripe plums
    recall: a grandmother's kitchen, an empty church, the first day of school, a ship's hold, thunder on its way
    recall: a letter kept too long, a stable in winter, the inside of a violin, a room after the guests have left
    beasts: lantern moths, lean grey foxes, ravens with silver beaks, cats of no fixed owner, salt-white owls
    beasts: tortoises as large as carts, glass-winged dragonflies, three-tailed squirrels, patient herons, tame adders
    beasts: hares with human eyes, black swans, ember newts, dog-sized spiders, moon-horned goats, blind hounds
    beasts: clockwork sparrows, small blue dragons, velvet bats, spectral deer
    roam: sleep among the {things}, follow strangers at a polite distance, nest in the {mark}
    roam: steal anything that shines
    roam: gather {hour} and ask for nothing, answer to the names of dead kings, leave tracks of {colour} light
    roam: share one hollow with their prey, know each visitor by smell, refuse to cross the {ground}
    roam: vanish as soon as they are counted, bring small gifts of bone and button, never cast a shadow
    era: three centuries ago, in the reign of {person}, before the first calendar, in the year of two winters
    era: when the rivers still ran north, a lifetime after the great fire, in the days of the {colour} crown
    era: long before the roads came, during the war of the seven brothers, on the eve of the long peace
    era: in the time of the giants, a thousand summers back
    rulers: the river kings, {person} the Patient, a guild of {folk}, the last of the sea queens
    rulers: an order of blind monks
    rulers: exiles from the south, {person} and nine daughters, the moon-priests, a company of deserters
    rulers: the giants of the elder age, settlers without a name, the sorcerer {person}
    price: a single pearl, seven years of silence, the hand of {person}, a ship full of salt, nobody knows what
    price: a song, a debt of honour, the loan of their shadows, a cartload of onions, one night's shelter
    figure: a blind cartographer, a thief called {person}, the youngest child of {person}, a knight without a shield
    figure: a tailor in love with the moon, a witch named {person}, a deaf musician, a giant with a broken heart
    figure: an exiled queen, a clockmaker from {person}, a hangman turned poet, a talking heron, the ghost of a judge
    figure: a ferryman who could not swim, an honest tax collector, the giantess {person}
    feat: traded a shadow for a map of the stars, hid {relic} beneath the {mark}, fell asleep and was never woken
    feat: beat Death at draughts, wept until the stones were salt, buried a heart under the {ground}
    feat: swore an oath and broke it the same evening, taught the {beasts} to speak, sang the wind to a standstill
    feat: opened a door that had been painted on a wall, wagered {relic} and lost, stole an hour from every clock
    feat: married the echo, bargained with the sea for {relic}, vanished between two strokes of a bell
    relic: a key of black glass, the last dragon's egg, a mirror that remembers, a crown of thorns and gold
    relic: a flute of {material}, the bones of a saint, a book with no end, an unlit lamp, a ring that hums
    relic: the sword of {person}, a jar of starlight, a lock without a key
    after: the {mark} has leaned ever since, the {things} still turn that way {hour}, no bird will sing there
    after: the debt has never been paid, the answer is written on the back of the {mark}, {folk} still avert their eyes
    after: something under the {ground} has been knocking to this day, nobody born here can keep a secret
    after: every ninth child is born with {colour} eyes, the way back has been lost, it will all happen again
    custom: no one may whistle, guests must leave a button at the door, names are never said twice
    custom: bread is always shared
    custom: the dead are greeted first, no lamp may be put out by hand, each debt is settled before the new moon
    custom: strangers are offered salt, mirrors are turned to the wall, the eldest walks in front
    never: rise early again, pay a toll again, fear the dark again, grow old, eat alone, ask the way
    traveller: a stranger, a pilgrim, a tired rider, anyone on foot, a messenger with bad news, a child alone
    traveller: a careful visitor, a homebound pedlar
    where: at the end of the {colour} road, below the hills of {person}, two days' walk from anything, on no known map
    where: where three borders meet, beyond the last milestone, in the shadow of {person}'s wall, far up the river
    where: behind the rain hills, on the dark side of the bay, a mile past the last signpost
    sky: {weather}
""")

SENTENCES: Rules = {
    "opening": (
        "{name} is a {adj} {noun} {where}, known for its {things} and its {shape} {mark}.",
        "The {noun} of {name} lies {where}, and {hour} {sky}.",
        "You come to {name} {hour}, and the {adj} {noun} is there all at once, {shape} {things} and all.",
        "Nobody arrives in {name} by chance: the {noun} lies {where}, and {sky}.",
        "{sky}, and there before you, {shape} and {adj}, rises the {mark} of {name}.",
        "There is a {noun} called {name}, {where}, where {number} {things} {stand}.",
        "Of all the places {where}, the {adj} {noun} of {name} is the one that {folk} talk about.",
        "{hour}, {name} belongs to the {folk}, who {work}.",
        "They gave this {noun} the name of {name} after {figure}, and it has been {adj} ever since.",
        "{name} begins with a smell of {smell}, long before {traveller} can see its {things}.",
        "Before you see {name} you hear {sound}; then the {adj} {noun} opens before you.",
        "Listen for {sound}: that is how one knows that {name} is near.",
        "Long after leaving {name}, people remember the {colour} {mark}, the {smell} and the {folk}.",
        "A {adj} {noun}, {number} {things} and one {shape} {mark}: that is {name}, {where}.",
        "{where}, where {things} {stand}, the {noun} of {name} waits for {traveller}.",
        "It takes {number} days to reach {name}, and the {noun} looks {adj} long before the last of them.",
        "What {traveller} first notices in {name} is {feeling}; the {shape} {things} come second.",
        "{light}, and {name}, that {adj} place, lets itself be seen.",
        "In {name}, the people say, {person} still walks the {ground} {hour}, and the {things} {stand}.",
        "If {name} were merely a {noun}, {traveller} might pass it by; but {sky}, and the {things} {stand}.",
    ),
    "setting": (
        "{hour} {sky}.",
        "Now, {hour}, {sky}.",
        "{sky}, and {light}.",
        "{light}; {sky}.",
        "{hour}, {sky}, and the {things} {stand}.",
        "This is how it is {hour}: {sky}, and {light}.",
        "{sky}, and {hour} there is {feeling} in the air.",
        "{light}, the {folk} {work}, and {sky}.",
    ),
    "seeing": (
        "The {shape} {things} {stand}, {like}.",
        "Beyond the {things} stands the {mark}, {shape} and {colour}.",
        "A {shape} {mark}, trimmed with {material}, keeps watch {far}, {state}.",
        "Everything is {colour} here: the {things}, the {things}, even the {ground}.",
        "Some of the {things} are {state}; others {stand}.",
        "From the {mark} you can count {number} {things}, no two of them alike.",
        "On the other side of the {ground}, {things} {stand}, {state}.",
        "The eye goes first to the {mark}, which is {state}, and only then to the {shape} {things} around it.",
        "A {colour} gleam slides over the {things} and gathers {far}.",
        "Someone has painted {sign} on the {mark}, in {colour}, and nobody will say why.",
        "Paths of {ground} wander between the {things}, and not one of them is straight.",
        "It is a {noun} of {colour} shadows and {adj} corners, where {things} {stand}.",
        "No map shows how the {things} {stand}, or how the {mark} seems to shift whenever one looks away.",
        "Near the {mark}, {number} of the {things} have been hung with {hung}.",
        "{far}, {like}, {things} {stand}.",
        "You could mistake the {mark} for a ruin, were it not {state} and lit from within.",
        "Look closely and the {things} turn out to be {state}, as though {person} had meant them to last.",
        "The {mark}, all {material} and {material}, looks too {adj} for a mere {noun}.",
        "To the left, {things}; to the right, {things}; and between them, {shape} and {adj}, the {mark}.",
    ),
    "hearing": (
        "One hears {sound} and, beneath all that, {sound}.",
        "First you hear {sound}, and then {hush}.",
        "Close your eyes, and from across the {ground} comes {hush}; open them, and you hear {sound}.",
        "{hour}, when the {folk} fall silent, nothing remains but {sound}.",
        "The quiet is never complete: {sound}, {sound}, and somewhere a door.",
        "Voices sound different near the {mark}, {echo}.",
        "Stand still, and {hush} gives way to {sound}.",
        "The {things} answer each footstep {echo}.",
        "Every sound has its place here, from {sound} by day to {sound} by night.",
        "Those who sleep near the {mark} complain of {sound}; those who cannot sleep are glad of the company.",
        "Between one breath and the next you may catch {sound}, soft and {adj}.",
        "A stranger hears {sound}; the {folk} hear {feeling}.",
        "Not even {sound} can break the {adj} mood of the {noun} for long.",
        "Somebody tells you to ignore {sound}; nobody tells you to ignore {sound}.",
    ),
    "smelling": (
        "The air smells of {smell} and {smell}.",
        "A breath of {smell} drifts from the {mark}, and with it comes a memory of {recall}.",
        "Beneath the scent of {smell} lies something older, close to {smell}, closer still to {recall}.",
        "Everything tastes faintly of {taste}, even the water.",
        "At one corner the nose fills with {smell}; ten steps on, with {smell}.",
        "The {folk} carry the scent of {smell} in their clothes and the taste of {taste} on their lips.",
        "One could find the {mark} blindfold, by its odour of {smell} alone.",
        "There is a hint of {smell} about, a trace of {taste} on the tongue, and then, from nowhere, {smell}.",
        "{hour} the smell of {smell} grows so strong that it brings back {recall}.",
        "Whoever has breathed this mixture of {smell} and {smell} will know it again among {number} others.",
        "It smells the way {recall} smells, with a pinch of {smell}.",
        "Bread bought here tastes of {taste} on the first day and of {smell} on the second.",
    ),
    "touching": (
        "You feel the {ground} underfoot, {adj} and {adj}.",
        "Run a hand along the {things} and it comes away {colour}.",
        "The {material} of the {mark} is strangely warm to the touch, {hour} most of all.",
        "Boots sink a little into the {ground}, and something seems to hold them a moment too long.",
        "Whatever one touches, from the {things} to the threshold of the {mark}, is {state}.",
        "The skin knows it first, long before the eyes do: there is {feeling} here.",
        "Lay a palm on the {mark} and you will feel it hum, {echo}.",
        "The {things} are rough on one side and smooth on the other, as if {person} had leaned there for years.",
        "Each step over the {ground} must be learned anew, by heel and toe, by trial and bruise.",
        "There is little comfort in the {ground}, and a good deal in the {folk} and their blankets.",
        "Fingers that have brushed the {things} tingle for hours and smell of {smell}.",
    ),
    "living": (
        "Here the {folk} {work}, while the {folk} {work}.",
        "{hour}, the {folk} {work}, and nobody thinks it strange.",
        "The {folk} have a rule: {custom}.",
        "Most of the {folk} were born within sight of the {mark}; the others never explain what brought them.",
        "An old {noun} has old manners, and so {custom}.",
        "If {traveller} asks the way, the {folk} smile, {work}, and point in {number} directions.",
        "{person}, eldest of the {folk}, wears {colour} and forgets no face.",
        "They are {adj} people, the {folk}; they {work}, and expect no thanks.",
        "Among the {folk} it is said that whoever owns {relic} need never {never}.",
        "Children play at being {folk}, {hour}, among the {things}.",
        "Some {work}; some only sit on the {ground} and watch {traveller} go by.",
        "No coin is worth much here, but for {relic} the {folk} would sell the {mark} itself.",
        "The {folk} dress in {colour} and {colour}, and their doors are marked with {sign}.",
    ),
    "roaming": (
        "{beasts} {roam}.",
        "There are {beasts} here, and they {roam}.",
        "The {folk} put up with the {beasts}, which {roam}.",
        "{hour}, {beasts} come out from behind the {things}; they {roam}.",
        "Of the {beasts} little is known, except that they {roam} and fear only the {folk}.",
        "Nobody feeds the {beasts}, and yet {number} of them live by the {mark}.",
        "It is the {beasts} that own the {noun}, if anyone does: they {roam}.",
        "Children are told to bow to the {beasts}, since those that {roam} may once have been {folk}.",
        "One learns to walk as the {beasts} do, softly, over the {ground} and past the {things}.",
        "Where there are {beasts}, the saying goes, there is {feeling} close by.",
    ),
    "history": (
        "The {mark} was raised {era} by {rulers}, for {price}.",
        "{era}, {rulers} bought this {noun} for {price}.",
        "It was {rulers} who set up the {things}, {era}, and the {noun} has not been the same since.",
        "{era} the whole {noun} was given up, and only the {mark} was kept, {state}.",
        "Nothing is left of {rulers} but the {mark}, a few {things}, and a law that {custom}.",
        "{number} times the {noun} has changed hands, once for {price} and once for {price}.",
        "Old ledgers, kept in the {mark}, begin {era} and break off in the middle of a word.",
        "There was fighting here {era}; the {things} are still {state}, and the {folk} still argue about who began it.",
        "{rulers} came {era}, found only {ground} and {feeling}, and decided to stay.",
        "The founders, {rulers}, asked for {price} and were given the {noun} instead.",
        "Twice since its first days the {mark} has been made new, first in {material}, later in {material}.",
        "Every spring the {folk} act out how {rulers} arrived {era}, with much shouting and {hung}.",
    ),
    "legend": (
        "They say that {figure} {feat}, and that {after}.",
        "Once, the story goes, {figure} {feat} here.",
        "Ask about the {mark} and you will be told of {figure}: how the poor soul {feat}, and why {after}.",
        "There is a tale of {relic}, still hidden among the {things}, and of {figure}, who knows where.",
        "Some believe that {after}; others blame {figure}, who, {era}, {feat}.",
        "The {folk} will swear that {after}, and will show you {relic} as proof.",
        "According to a song with {number} verses, {figure} {feat}, and {after}.",
        "Nobody has seen {relic} since {figure} {feat}, but {traveller} sometimes dreams of it.",
        "In one version {figure} {feat}; in another it was {figure}, and the ending is worse.",
        "Because {figure} {feat}, {custom}; that, at least, is what {person} wrote down.",
        "A prophecy scratched into the {mark} speaks of {figure} and of {relic}, and is signed with {sign}.",
        "It is bad luck to speak of {figure}, who {feat}; speak of {relic} instead.",
    ),
    "skies": (
        "{light}.",
        "{sky}; the {things} {stand}, {like}.",
        "{light}, and the {mark} looks {adj}, even {adj}.",
        "When {weather}, the {folk} say that {person} is near.",
        "{sky}, yet the {folk} {work} as they always do.",
        "It is not like this in every season, but now {sky}.",
        "{hour} there is {feeling} in the air, and {light}.",
        "Only the {beasts} seem not to mind that {weather}.",
        "It can stay like this for {number} days: {sky}, and no one counts the hours.",
    ),
    "parting": (
        "{verdict}.",
        "After a while one understands that {verdict}.",
        "It is true what the {folk} say: {verdict}.",
        "{verdict}, or so it seems {hour}.",
        "An inscription on the {mark} puts it plainly: {verdict}.",
    ),
    "closing": (
        "Whoever leaves {name} takes along {feeling}, a taste of {taste}, and the certainty of coming back.",
        "Behind you, {things} {stand}, and {name} goes on being {adj} without you.",
        "When you look back, {hour}, the {things} {stand}, and where {name} was there is {feeling}.",
        "And still {name} waits, {adj} and {adj}, {echo}.",
        "What stays is the smell of {smell}, and {feeling}, and the {colour} outline of the {mark}.",
        "{name} lets you go in the end, but it keeps something of yours, {echo}.",
        "One day, the {folk} promise, {figure} will come back to {name}; until then, {sky}.",
        "Such is {name}: {number} {things}, one {mark}, and over all of it {feeling}.",
        "Stay until {light}, and you may understand why the {folk} never leave {name}.",
        "So the {noun} keeps its secrets, and {name} sleeps with one eye open, {echo}.",
        "Years later a whiff of {smell} will be enough, and you will stand before the {mark} of {name} again.",
        "Go quietly, then; leave {relic} where it lies, and let {name} dream on.",
    ),
}
