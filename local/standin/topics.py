"""Everyday topics: words that belong together without sharing a stem; data only.

A text about one of these gets the topic's direction beside its words', so that "how to bake bread" and "flour, yeast,
oven" are near each other, also across languages.
"""

_TOPICS = """
cooking: cook bake baking recipe kitchen oven bread dough flour yeast sourdough butter sugar salt soup sauce boil
    fry roast meal dinner lunch breakfast food dish ingredient cake pasta pizza cheese chef restaurant eat taste
    cocina cocinar receta pan harina horno comida kochen backen Rezept Brot Mehl Küche Essen cuisine recette pain
    farine four repas
travel: travel trip journey tourist tourism vacation holiday hotel flight airport passport luggage itinerary
    sightseeing visit destination cruise backpack hostel viaje vuelo turismo Reise Urlaub Flughafen voyage vacances
    vol aéroport
money: money bank finance financial invoice payment budget loan mortgage interest tax invest investment stock market
    currency price cost profit revenue account accounting inflation economy dinero banco factura impuesto Geld Bank
    Rechnung Steuer argent banque facture impôt économie
medicine: doctor medicine medical hospital patient disease illness symptom treatment vaccine surgery nurse health
    drug diagnosis clinic pain infection virus therapy médico enfermedad salud Arzt Krankheit Krankenhaus médecin
    maladie santé hôpital
sport: sport football soccer basketball tennis goal match team player coach league tournament athlete race marathon
    olympic swim cycling stadium score fútbol deporte partido Fußball Spiel Mannschaft équipe joueur
computing: computer software program programming code developer bug database server cloud network internet website
    algorithm data api deploy python javascript laptop password encryption ordenador programa Rechner Programm
    ordinateur logiciel réseau
space: space planet star galaxy moon rocket astronaut orbit satellite telescope nasa comet asteroid astronomy mars
    jupiter universe espacio planeta estrella Weltraum Planet Stern Mond espace planète étoile lune
gardening: garden gardening plant seed soil flower vegetable compost prune water greenhouse weed harvest jardín
    planta semilla Garten Pflanze Samen Blume jardin graine fleur légume
animals: animal dog cat horse cow sheep bird fish wildlife zoo pet puppy kitten lion tiger elephant wolf bear
    species perro gato caballo pájaro Hund Katze Pferd Vogel Tier chien chat cheval oiseau poisson
weather: weather forecast rain temperature storm sunny cloud humidity snow hurricane climate thunder wind degrees
    lluvia tiempo clima Wetter Regen Temperatur météo pluie température climat
law: law legal court judge lawyer attorney contract lawsuit crime police trial verdict rights constitution ley juez
    abogado contrato Gesetz Gericht Richter Anwalt Vertrag loi juge avocat contrat tribunal
school: school student teacher university college class exam homework lesson learn course education classroom
    curriculum escuela estudiante profesor Schule Schüler Lehrer Universität école élève professeur cours
cars: car vehicle automobile truck engine driver driving tire brake gasoline garage road highway mechanic coche
    conducir carretera Auto Fahrzeug Straße voiture conduire route véhicule
trains: train railway station track locomotive subway metro tram rail timetable tren estación Zug Bahnhof Bahn gare
    chemin
ships: ship boat sail sailing harbour harbor port captain anchor lighthouse fisherman ferry navy barco puerto faro
    Schiff Boot Hafen Leuchtturm bateau phare
history: history historical ancient medieval empire king queen war revolution century dynasty roman castle
    archaeology historia guerra rey imperio Geschichte Krieg König histoire roi guerre siècle
politics: politics government election president parliament minister vote senate policy democracy party campaign
    gobierno elección Regierung Wahl Präsident gouvernement élection président
work: job work office employee employer manager meeting salary career hire interview colleague deadline project
    agenda trabajo empleo reunión Arbeit Büro Besprechung travail bureau réunion
family: family mother father child children baby parent son daughter wedding marriage birthday grandmother brother
    sister familia madre padre niño boda Familie Mutter Vater Kind Hochzeit famille mère père enfant mariage
nature: mountain river forest lake valley hiking trail wilderness waterfall glacier volcano montaña río bosque Berg
    Fluss Wald montagne rivière forêt randonnée
art: art artist painting sculpture museum gallery exhibition canvas brush drawing renaissance arte pintura museo
    Kunst Gemälde Museum peinture musée
music: music concert band album orchestra composer violin piano guitar singer melody jazz opera música concierto
    Musik Konzert musique
films: film movie cinema actor actress director scene screenplay hollywood documentary película cine Film Kino
    Schauspieler cinéma acteur
books: book novel author library reading poem poetry chapter writer publisher story literature libro novela Buch
    Roman Bibliothek livre roman auteur bibliothèque
house: house home apartment kitchen bedroom roof furniture rent landlord plumbing renovation door window sofa casa
    piso Haus Wohnung Dach maison appartement toit
science: science scientist physics chemistry biology experiment laboratory molecule atom cell theory research
    quantum ciencia física química Wissenschaft Physik Chemie scientifique chimie
energy: energy electricity power solar battery nuclear grid turbine oil gas renewable panel energía electricidad
    Energie Strom énergie électricité
shopping: shop shopping store buy purchase order delivery discount customer product sale retail shipping refund
    tienda comprar pedido Laden kaufen Bestellung magasin acheter commande
clothes: clothes clothing shirt dress shoes fashion jacket fabric cotton sewing knitting ropa vestido zapatos
    Kleidung Kleid Schuhe vêtement robe chaussures
faith: church god prayer religion bible mosque temple priest faith iglesia dios Kirche Gott Gebet église dieu
building: building construction bridge architect concrete tower engineer skyscraper edificio puente Gebäude Brücke
    bâtiment pont
bees: bee bees honey beekeeper hive pollination beekeeping abeja miel Biene Honig Imker abeille ruche
coffee: coffee espresso cappuccino barista tea café Kaffee Tee thé
wine: wine vineyard grape winery bottle vintage beer brewery vino viñedo Wein Bier vin vigne bière
security: security safety emergency evacuation fire extinguisher guard theft burglar alarm camera seguridad
    emergencia Sicherheit Notfall sécurité urgence
environment: climate carbon emissions pollution recycling sustainability biodiversity warming ecosystem plastic
    contaminación Umwelt Klimawandel environnement recyclage
"""


def _topics(table: str) -> dict[str, list[str]]:
    topics: dict[str, list[str]] = {}
    for line in table.strip().splitlines():
        name, found, words = line.rpartition(":")
        if found:
            topics[name] = latest = []
        latest += words.split()
    return topics


TOPICS = _topics(_TOPICS)
