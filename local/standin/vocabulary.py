"""The words that name what is measured, in four languages; data only.

A sense is what a word says about the axes: a line of axes with their weights, under it its words by language. `_` joins
the words of a phrase, and an inflected form is found by its stem. A phrase goes before its words ("white noise" is not
white). A sense without axes (`-`) says nothing where its words would mislead.
"""

from dataclasses import dataclass

from local.standin.space import Axis

LANGUAGES = {
    "en": "english",
    "es": "spanish",
    "de": "german",
    "fr": "french",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
}


@dataclass(frozen=True)
class Sense:
    axes: dict[Axis, float]
    words: dict[str, list[str]]
    """Language → its words and phrases for this."""


_MEDIA = """
SOUND 0.6
  en sound audio recording recorded listen hear heard acoustic sounding
  es sonido audio grabación escuchar oír sonoro
  de Ton Klang Geräusch Aufnahme hören Audio klingen
  fr son audio enregistrement écouter entendre sonore
SOUND 0.3
  en pitch volume timbre
  es volumen timbre
  de Tonhöhe Lautstärke
  fr volume
PICTURE 0.6
  en picture image photo photograph pic drawing painting illustration graphic wallpaper screenshot
  es imagen foto fotografía dibujo pintura cuadro ilustración
  de Bild Foto Fotografie Zeichnung Gemälde Grafik
  fr image photo photographie dessin peinture tableau illustration
PICTURE 0.3; SOUND 0.3
  en video film clip footage movie videoclip
  es vídeo película filmación
  de Video Film Clip
  fr vidéo film clip séquence
PICTURE 0.3
  en colour color hue coloured colored
  es color
  de Farbe
  fr couleur
"""

_SOUNDS = """
LOUD 1
  en loud blaring deafening booming ear-splitting earsplitting blasting thunderous roaring shouting screaming
     yelling amplified
  es fuerte ruidoso alto_volumen estruendoso ensordecedor gritar
  de laut lautstark ohrenbetäubend dröhnend schreien lärmend
  fr fort bruyant assourdissant tonitruant crier
LOUD -1
  en quiet faint hushed muted whisper whispering low_volume barely_audible inaudible subdued quietly
  es silencioso bajo_volumen débil susurro tenue
  de leise flüstern gedämpft schwach_hörbar
  fr faible discret chuchotement murmure doucement
LOUD -0.6; CONTRAST -0.4
  en soft gentle mild
  es suave
  de sanft weich
  fr doux douce
LOUD -0.5; STEADY 0.2; BUSY -0.4
  en calm peaceful serene
  es tranquilo
  de ruhig
  fr calme paisible
SILENCE 1; LOUD -0.15
  en silence silent soundless noiseless nothing no_sound without_sound no_audio mute
  es silencio nada sin_sonido mudo
  de Stille Schweigen lautlos nichts kein_Ton ohne_Ton stumm
  fr silence rien sans_son muet
-
  en nothing_but silent_film
HIGH 1
  en high-pitched high_pitch high_frequency high_tone high_note treble soprano falsetto squeaky squeaking squeal
  es agudo alta_frecuencia tono_alto chillón
  de Hochton hochfrequent hohe_Frequenz hoher_Ton quietschend
  fr aigu haute_fréquence
HIGH 0.9; SHRILL 0.4; ALARM 0.2
  en shrill piercing screech
  es estridente
  de schrill gellend
  fr strident perçant
HIGH -1
  en low-pitched low_pitch low_frequency low_tone low_note bass deep_tone deep_voice baritone subwoofer
  es grave baja_frecuencia tono_bajo
  de Bass tieffrequent tiefe_Frequenz tiefer_Ton Tiefton
  fr basse_fréquence grave ton_grave
HIGH 0.5
  en high
  es alto
  de hoch hohe hoher hohes
  fr haut
HIGH -0.5
  en low deep
  es bajo
  de tief niedrig
  fr bas
SHRILL 0.9
  en tinny trebly bright_timbre sizzling
SHRILL -0.9
  en muffled dark_timbre boomy
  es apagado
  de dumpf
  fr sourd étouffé
HIGH -0.6; TONE 0.7; STEADY 0.4
  en hum humming drone droning buzz buzzing mains_hum transformer
  es zumbido
  de Brummen brummend Summen
  fr bourdonnement ronronnement vrombissement
SHRILL -0.7; HIGH -0.4; NOISE 0.5
  en rumble rumbling thunder thunderstorm
  es trueno retumbar
  de Donner Grollen
  fr tonnerre grondement
FAST 1; RHYTHM 0.35
  en fast quick rapid speedy uptempo up-tempo allegro presto hurried
  es rápido veloz
  de schnell rasch flott
  fr rapide vite
FAST -1; RHYTHM 0.35
  en slow slowly downtempo unhurried largo adagio sluggish
  es lento despacio
  de langsam gemächlich
  fr lent lentement
RHYTHM 1; CLICKS 0.2
  en rhythm rhythmic rhythmical beat beats beating groove pulse pulsing pulsating throbbing tempo metronome
     ticking tick tock clock_ticking percussion_loop bpm drumbeat repetitive
  es ritmo rítmico compás latido pulso metrónomo
  de Rhythmus rhythmisch Takt Schlag pulsierend Metronom ticken
  fr rythme rythmique battement pulsation métronome
RHYTHM -0.8; CLICKS 0.6
  en irregular erratic arrhythmic random_clicks crackle crackling sporadic
  es irregular
  de unregelmäßig knistern
  fr irrégulier crépitement
CLICKS 1; RHYTHM 0.2
  en click clicks clicking tap tapping knock knocking percussive percussion clap clapping snap bang hammering
     typing
  es golpe percusión clic aplaudir martilleo
  de Klick klicken klopfen Schlagzeug perkussiv hämmern klatschen
  fr clic percussion frapper claquement
CLICKS 0.7; RHYTHM 0.8
  en drum drums drumming footsteps tambour galloping bongo snare
  es tambor batería pasos
  de Trommel Trommeln Schritte
  fr tambour
RHYTHM 0.8; FAST -0.5; HIGH -0.4; CLICKS 0.4
  en heartbeat
  de Herzschlag
NOISE 1; GRAIN 0.5
  en noise noisy
  es ruido
  de Rauschen Lärm verrauscht
  fr bruit bruité
NOISE 1
  en white_noise pink_noise brown_noise static hiss hissing hissy rustle rustling rushing whoosh sizzle broadband
     waterfall rain raining rainfall rainstorm drizzle downpour surf ocean_waves sea_waves spray shower applause
     vacuum_cleaner
  es lluvia siseo estática llover cascada ruido_blanco aplauso
  de Regen zischen regnen weißes_Rauschen Wasserfall Brandung Applaus prasseln
  fr pluie pleuvoir bruit_blanc cascade applaudissement grésillement
NOISE 0.9; SHRILL -0.3
  en wind windy breeze storm gale blowing stormy
  es viento brisa tormenta
  de Wind Sturm Brise
  fr vent tempête brise
NOISE 0.5; HIGH -0.4; STEADY 0.5
  en engine motor traffic airplane jet fan machine_hum
  es tráfico avión
  de Motor Verkehrslärm Flugzeug
  fr moteur circulation avion
TONE 1
  en tone tonal sine sine_wave pure_tone sinusoid dial_tone beeping_tone single_note sustained_note whistle
     whistling test_tone
  es tono silbido
  de Sinuston Pfeifton pfeifen Sinus
  fr tonalité sifflet sinusoïdal
STEADY 1
  en steady continuous constant sustained unchanging monotone stationary
  es constante continuo sostenido
  de gleichmäßig konstant Dauerton anhaltend
  fr constant continu soutenu stable
STEADY -0.8
  en changing varying intermittent fluctuating
  es cambiante intermitente
  de wechselnd
  fr changeant intermittent
MUSIC 1
  en music musical song tune melody melodic melodious harmony harmonic harmonious chord chords instrument
     instrumental orchestra symphony concerto jazz arpeggio
  es música musical canción melodía melódico acorde armonía orquesta sinfonía
  de Musik musikalisch Lied Melodie melodisch Akkord Harmonie Orchester Sinfonie
  fr musique musical chanson mélodie mélodique accord harmonie orchestre symphonie
MUSIC 0.9; TONE 0.2
  en guitar piano violin cello flute organ trumpet saxophone keyboard synth synthesizer harp banjo clarinet
     xylophone accordion ukulele lullaby anthem
  es guitarra violín flauta órgano trompeta saxofón arpa acordeón
  de Gitarre Klavier Geige Flöte Orgel Trompete Saxophon Harfe Akkordeon
  fr guitare violon flûte orgue trompette saxophone harpe accordéon
MUSIC 0.7; SPEECH 0.4
  en singing sing singer vocals choir chant
  es cantar cantante coro
  de singen Gesang Sänger Chor
  fr chanter chant chanteur chœur
SPEECH 1
  en speech speak speaking spoken talk talking voice voices conversation interview dialogue dialog discussion
     lecture podcast narration narrator announcer speaker someone_talking people_talking person_talking chatter
     vocal chatting monologue newsreader
  es habla hablar voz conversación entrevista diálogo discurso charla locutor
  de Sprache sprechen Stimme Gespräch Interview Rede reden Vortrag Unterhaltung Sprecher
  fr parole parler voix conversation entretien dialogue discours interview bavardage
ALARM 1; HIGH 0.4; LOUD 0.15
  en alarm siren smoke_detector alarm_clock fire_alarm burglar car_alarm ambulance police_siren warning_signal
     buzzer
  es alarma sirena despertador ambulancia
  de Alarm Sirene Wecker Martinshorn Feueralarm Rauchmelder
  fr alarme sirène réveil_matin ambulance
ALARM 0.7; TONE 0.6; HIGH 0.4
  en beep beeping bleep chime ringtone ringing phone_ringing bell bells ding
  es pitido timbre campana
  de Piepsen Piepton piepen klingeln Glocke
  fr bip sonnerie cloche
HIGH 0.7; SWEEP 0.4; TONE 0.4
  en chirp chirping tweet birdsong birds_singing
  es canto_pájaros trino
  de zwitschern Vogelgesang
  fr gazouillis chant_oiseaux
SWEEP 1
  en sweep sweeping glide gliding glissando sliding slide wail wailing swooping gliding_tone
  es barrido
  de Gleitton gleitend Heulen
  fr balayage glissement
RISING 1; SWEEP 0.2
  en rising ascending upward rise climbing going_up increasing_pitch upwards
  es ascendente subir
  de steigend aufsteigend ansteigend
  fr montant ascendant
RISING -1; SWEEP 0.2
  en falling descending downward going_down dropping decreasing_pitch downwards
  es descendente bajar_tono
  de fallend absteigend absinkend
  fr descendant tombant
"""

_PICTURES = """
RED 1
  en red reddish crimson scarlet ruby maroon vermilion
  es rojo rojizo carmesí
  de rot rote roter rotes rötlich
  fr rouge rougeâtre écarlate
ORANGE 1
  en orange tangerine amber
  es naranja anaranjado
  de orange orangefarben
  fr orange orangé
YELLOW 1
  en yellow yellowish golden lemon
  es amarillo dorado
  de gelb gelblich golden
  fr jaune doré
GREEN 1
  en green greenish emerald olive lime
  es verde verdoso
  de grün grünlich
  fr vert verte verdâtre
CYAN 1
  en cyan turquoise teal aqua aquamarine
  es cian turquesa
  de Türkis türkis türkisfarben zyan
  fr cyan turquoise
BLUE 1
  en blue bluish navy azure indigo cobalt
  es azul azulado
  de blau bläulich
  fr bleu bleue bleuâtre
BLUE 0.9; CYAN 0.2; BRIGHT 0.3
  en light_blue sky_blue pale_blue baby_blue
  es azul_claro celeste
  de hellblau himmelblau
  fr bleu_clair bleu_ciel
BLUE 0.9; BRIGHT -0.3
  en dark_blue navy_blue deep_blue
  es azul_oscuro
  de dunkelblau
  fr bleu_foncé
PURPLE 1
  en purple violet lilac lavender mauve
  es morado púrpura violeta lila
  de lila violett purpur
  fr pourpre violet mauve
PINK 1
  en pink magenta rosy fuchsia salmon_pink
  es rosa rosado fucsia
  de rosa pink rosafarben
  fr rose rosé fuchsia
BROWN 1
  en brown brownish chocolate chestnut tan beige sepia
  es marrón castaño pardo
  de braun bräunlich
  fr marron brun brune
BLACK 1; BRIGHT -0.2
  en black blackish
  es negro negra
  de schwarz
  fr noir noire
WHITE 1; BRIGHT 0.2
  en white whitish
  es blanco blanca
  de weiß weiss
  fr blanc blanche
GREY 1; COLOURFUL -0.2
  en grey gray greyish grayish silver silvery
  es gris plateado
  de grau gräulich silbern
  fr gris grise argenté
BRIGHT 1; SHRILL 0.4
  en bright light-filled brilliant luminous sunny well-lit overexposed radiant shining
  es brillante claro luminoso
  de hell helle heller helles leuchtend strahlend
  fr clair claire lumineux brillant
BRIGHT 0.5
  en light pale
  es pálido
  de blass
  fr pâle
BRIGHT -1; SHRILL -0.4
  en dark dim gloomy shadowy unlit underexposed murky darkness
  es oscuro sombrío tenebroso oscuridad
  de dunkel dunkle dunkler dunkles dunklen düster finster Dunkelheit
  fr sombre obscur foncé obscurité
CONTRAST 1
  en high-contrast strong_contrast contrasty contrast contrasting stark
  es contraste contrastado alto_contraste
  de Kontrast kontrastreich hoher_Kontrast
  fr contraste contrasté
CONTRAST -1
  en low-contrast no_contrast little_contrast weak_contrast washed_out faded hazy foggy
  es bajo_contraste poco_contraste desteñido
  de kontrastarm wenig_Kontrast verwaschen
  fr peu_contrasté faible_contraste délavé
COLOURFUL 1
  en colourful colorful vivid saturated vibrant multicoloured multicolored rainbow many_colours many_colors
     full_of_colour full_of_color psychedelic
  es colorido vivo saturado multicolor arcoíris
  de bunt farbenfroh farbig gesättigt Regenbogen
  fr coloré vif saturé multicolore arc-en-ciel
COLOURFUL -1
  en colourless colorless monochrome desaturated greyscale grayscale drab unsaturated black_and_white no_colour
     no_color without_colour without_color
  es monocromo descolorido blanco_y_negro sin_color
  de farblos schwarz-weiß schwarzweiß entsättigt Graustufen
  fr monochrome décoloré noir_et_blanc sans_couleur
COLOURFUL -0.7; SHRILL -0.4
  en dull
  es apagado
  de matt
  fr terne
BUSY 1
  en busy detailed cluttered intricate complex textured elaborate rough_texture patterned pattern
  es detallado recargado complejo
  de detailliert unruhig detailreich Muster
  fr détaillé chargé complexe motif
BUSY -1
  en plain smooth flat uniform simple blank solid minimalist minimal featureless even_surface solid-colour
     solid-color single_colour single_color
  es liso plano uniforme sencillo
  de glatt schlicht einfarbig eben einfach gleichförmig
  fr uni lisse plat uniforme simple
VERTICAL 0.6; HORIZONTAL 0.6; DIAGONAL 0.6
  en stripes striped stripe stripy lines bars lined bands
  es rayas rayado líneas franjas
  de Streifen gestreift Linien
  fr rayures rayé lignes bandes
VERTICAL 1
  en vertical_stripes vertical_lines vertical_bars vertical_bands vertically_striped upright_stripes pinstripes
  es rayas_verticales líneas_verticales
  de senkrechte_Streifen vertikale_Streifen Längsstreifen
  fr rayures_verticales lignes_verticales
HORIZONTAL 1
  en horizontal_stripes horizontal_lines horizontal_bars horizontal_bands horizontally_striped
  es rayas_horizontales líneas_horizontales
  de waagerechte_Streifen waagrechte_Streifen horizontale_Streifen Querstreifen
  fr rayures_horizontales lignes_horizontales
DIAGONAL 1
  en diagonal_stripes diagonal_lines diagonal_bars slanted_stripes diagonal diagonally slanted oblique
  es diagonal rayas_diagonales
  de schräg diagonal schräge_Streifen
  fr diagonale oblique rayures_diagonales
VERTICAL 0.9; LANDSCAPE -0.3
  en vertical vertically
  es vertical
  de senkrecht vertikal
  fr vertical
HORIZONTAL 0.9; LANDSCAPE 0.3
  en horizontal horizontally
  es horizontal
  de waagerecht waagrecht horizontal
  fr horizontal
CHECKS 1
  en checkerboard chessboard checkered chequered checks checked checker chess_board chequerboard gingham
  es ajedrezado tablero cuadriculado damero
  de Schachbrett kariert Karomuster Schachbrettmuster
  fr damier échiquier carreaux quadrillage
GRAIN 1
  en grainy grain speckled image_noise pixel_noise random_pixels random_dots snowy_screen
  es granulado granuloso
  de körnig Bildrauschen gesprenkelt
  fr granuleux grain tacheté
GRADIENT 1; BUSY -0.2
  en gradient fade fading ramp blend blended gradual ombre colour_transition color_transition smooth_transition
  es degradado gradiente
  de Verlauf Farbverlauf Übergang
  fr dégradé gradient
SHAPE 1
  en shape shapes circle disc disk triangle rectangle ellipse blob figure dot object silhouette
  es forma círculo triángulo rectángulo figura
  de Form Kreis Dreieck Rechteck Scheibe
  fr forme cercle triangle rectangle disque
LANDSCAPE 1
  en landscape landscape_format wide widescreen panorama panoramic wider_than_tall landscape_orientation
  es apaisado panorámico
  de Querformat Landschaft Breitbild Panorama
  fr paysage panoramique
LANDSCAPE -1
  en portrait portrait_format tall upright portrait_orientation taller_than_wide
  es retrato
  de Hochformat Porträt
  fr portrait
SQUARE 1
  en square square_format
  es cuadrado
  de quadratisch Quadrat
  fr carré
ORANGE 0.5; RED 0.4
  en warm_colours warm_colors warm
  es cálido
  de warm warme
  fr chaud
BLUE 0.5; CYAN 0.3
  en cold cool_colours cool_colors
  es frío
  de kalt kühl
  fr froid
"""

# What is seen in a picture, by the colours it usually has.
_SCENES = """
ORANGE 0.7; RED 0.35; PURPLE 0.15
  en sunset sunrise dusk dawn
  es atardecer amanecer
  de Sonnenuntergang Sonnenaufgang Abendrot
  fr aube crépuscule coucher_soleil coucher_de_soleil
BLUE 0.7; BRIGHT 0.2
  en sky skies
  es cielo
  de Himmel
  fr ciel
BLUE 0.65; CYAN 0.35
  en ocean sea lake water river underwater
  es océano mar lago agua río
  de Ozean Meer See Wasser
  fr océan mer lac eau
GREEN 0.8
  en forest grass leaf leaves tree trees meadow jungle lawn plant foliage
  es bosque hierba hoja árbol prado selva
  de Wald Gras Blatt Baum Wiese Dschungel
  fr forêt herbe feuille arbre prairie jungle
WHITE 0.8; BRIGHT 0.4
  en snow snowy ice cloud clouds milk paper
  es nieve hielo nube
  de Schnee Eis Wolke
  fr neige glace nuage
BLACK 0.5; BRIGHT -0.7
  en night midnight nighttime shadow cave
  es noche sombra
  de Nacht Schatten
  fr nuit ombre
ORANGE 0.6; RED 0.45
  en fire flame flames lava ember
  es fuego llama
  de Feuer Flamme
  fr feu flamme
RED 0.8
  en blood rose tomato strawberry cherry
  es sangre tomate fresa cereza
  de Blut Tomate Erdbeere Kirsche
  fr sang tomate fraise cerise
YELLOW 0.7
  en sun gold banana sunflower
  es sol oro plátano girasol
  de Sonne Gold Banane Sonnenblume
  fr soleil banane tournesol
BROWN 0.7
  en wood wooden soil coffee bark mud earth
  es madera tierra café
  de Holz Erde Kaffee
  fr bois terre café
BROWN 0.4; YELLOW 0.4; ORANGE 0.2
  en desert sand beach dune
  es desierto arena playa
  de Wüste Sand Strand
  fr désert sable plage
GREY 0.7
  en stone concrete fog mist steel ash asphalt overcast
  es piedra niebla acero ceniza
  de Stein Beton Nebel Stahl Asche
  fr pierre béton brouillard acier cendre
PURPLE 0.7
  en grape plum eggplant amethyst
  es uva ciruela berenjena
  de Traube Pflaume Aubergine
  fr raisin prune aubergine
ORANGE 0.7
  en pumpkin carrot autumn apricot
  es calabaza zanahoria otoño
  de Kürbis Karotte Herbst
  fr citrouille carotte automne
PINK 0.7
  en flamingo blossom
  de Flamingo
  fr flamant
VERTICAL 0.4; DIAGONAL 0.3; BLACK 0.4; WHITE 0.4
  en zebra barcode
  es cebra
  de Zebra
  fr zèbre
"""

_FUNCTION_WORDS = """
  en a an the of in on at to for from by with and or but is are was were be been being am it its this that these
     those i you he she we they me my your his her our their what which who whom where when why how do does did have
     has had can could will would shall should may might must not no as if then than so such there here very more
     most some any all each other into about over under between after before during out up down off only own same
     too just also again once because while one something someone thing contains containing show shows find search
     give please looking look which mostly mainly like without us file files t s
  es el la los las un una unos unas de del en y o que es son con por para se al lo como más pero su sus le ya este
     esta ese esa muy todo no sin sobre entre cuando hay donde quien desde nos ni mi yo tú él ella fue ser está algo
  de der die das den dem des ein eine einen einem einer eines und oder aber in im an am auf aus bei mit nach von vom
     zu zum zur für ist sind war waren sein es er sie wir ihr ich nicht kein keine ohne als auch wie so wenn dann
     nur noch schon sehr über unter zwischen durch um wird werden hat haben man sich was wer wo etwas
  fr le la les un une des du de d l et ou mais en dans sur sous avec pour par est sont était être il elle on nous
     vous ils elles je tu que qui quoi dont où ce cet cette ces son sa ses leur leurs plus très pas ne sans au aux
     se si comme tout quelque
  it il lo la i gli le un uno una di del della dei delle in con su per tra fra e o ma che è sono non si come più
  pt o a os as um uma de do da dos das em no na nos nas e ou mas que é são com por para se não como mais
  nl de het een van in op met voor aan uit bij naar en of maar is zijn was niet geen die dat dit ook als om te
"""

_NEGATIONS = """
not no without never non nor neither lacking lacks except sin ni ningún ninguna ninguno tampoco ohne nicht kein keine
keinen keiner keinem sans pas aucun aucune
"""


def _senses(table: str) -> tuple[Sense, ...]:
    senses: list[Sense] = []
    language: list[str] = []
    for line in table.strip().splitlines():
        first, *words = line.split()
        if not line.startswith(" "):
            pairs = [pair.split() for pair in line.split(";")] if line != "-" else []
            senses.append(Sense({Axis[name]: float(weight) for name, weight in pairs}, {}))
        elif line.startswith("     "):
            language += [first, *words]
        else:
            language = senses[-1].words[LANGUAGES[first]] = words
    return tuple(senses)


MEDIA = _senses(_MEDIA)
SENSES = MEDIA + _senses(_SOUNDS) + _senses(_PICTURES) + _senses(_SCENES)
SOUND_AXES = frozenset(axis for axis in Axis if axis.value < Axis.PICTURE.value)
PICTURE_AXES = frozenset(Axis) - SOUND_AXES
NEGATIONS = frozenset(_NEGATIONS.split())
FUNCTION_WORDS = _senses("-\n" + _FUNCTION_WORDS.strip("\n"))[0].words

COLOURS = {
    Axis.RED: [(255, 0, 0), (220, 20, 30), (180, 20, 25), (200, 50, 50), (140, 10, 15), (230, 60, 60), (100, 10, 10)],
    Axis.ORANGE: [(255, 128, 0), (255, 165, 0), (230, 120, 20), (255, 100, 20), (245, 150, 60)],
    Axis.YELLOW: [(255, 255, 0), (250, 220, 30), (230, 210, 40), (255, 240, 120), (200, 190, 40)],
    Axis.GREEN: [
        *[(0, 255, 0), (0, 128, 0), (40, 170, 60), (30, 90, 30), (120, 200, 60), (140, 220, 140), (80, 110, 40)],
        *[(0, 60, 15), (170, 230, 60), (30, 190, 110)],
    ],
    Axis.CYAN: [(0, 255, 255), (0, 200, 210), (0, 150, 150), (64, 224, 208), (0, 110, 115), (150, 235, 235)],
    Axis.BLUE: [
        *[(0, 0, 255), (30, 80, 200), (0, 0, 128), (60, 120, 220), (100, 160, 240), (135, 206, 235), (20, 40, 90)],
        *[(0, 130, 250), (80, 110, 160)],
    ],
    Axis.PURPLE: [
        (128, 0, 128),
        (150, 60, 200),
        (90, 30, 140),
        (130, 0, 250),
        (180, 120, 220),
        (75, 0, 130),
        (160, 30, 160),
    ],
    Axis.PINK: [
        (255, 105, 180),
        (255, 192, 203),
        (255, 20, 147),
        (240, 130, 170),
        (255, 0, 255),
        (230, 80, 150),
        (250, 160, 190),
    ],
    Axis.BROWN: [
        (139, 69, 19),
        (101, 67, 33),
        (150, 100, 50),
        (90, 50, 20),
        (160, 82, 45),
        (180, 130, 80),
        (120, 80, 50),
    ],
    Axis.BLACK: [(0, 0, 0), (15, 15, 18), (30, 30, 30), (40, 38, 36)],
    Axis.WHITE: [(255, 255, 255), (245, 245, 245), (235, 235, 232), (255, 250, 240)],
    Axis.GREY: [
        (128, 128, 128),
        (100, 100, 100),
        (75, 75, 75),
        (160, 160, 160),
        (190, 190, 190),
        (210, 210, 210),
        (145, 125, 125),
        (120, 135, 120),
        (120, 120, 140),
        (140, 135, 115),
        (115, 135, 140),
        (140, 120, 140),
    ],
}
"""Examples of each colour, red, green and blue; a pixel has the name of what it is nearest to."""
