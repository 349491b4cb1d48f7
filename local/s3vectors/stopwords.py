"""Words that say too little to be searched for, per language: articles, pronouns, prepositions, auxiliary verbs.

The service does not publish its lists. The English one is the list that Lucene's English analyzer has by default; the
others hold the same kinds of word, as they are written (lower case, with accents).
"""

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": """
            a an and are as at be but by for if in into is it no not of on or such that the their then there these
            they this to was will with
        """,
        "fr": """
            à au aux avec ce ces cet cette dans de des du elle elles en est et eu il ils je la le les leur leurs lui ma
            mais me mes moi mon ne nos notre nous on ont ou où par pas pour que qui sa se ses son sont sur ta te tes toi
            ton tu un une vos votre vous y était été être
        """,
        "es": """
            a al ante como con contra de del desde donde durante e el ella ellas ellos en entre era es esa ese eso esta
            este esto está fue ha hay la las le les lo los me mi mis muy más ni no nos o para pero por que qué se ser si
            sin sobre son su sus también te tu tus un una uno unos y ya yo él
        """,
        "pt": """
            a ao aos as até com como da das de dela dele do dos e ela elas ele eles em entre era essa esse esta este eu
            foi há isso isto já lhe mais mas me meu minha muito na nas nem no nos não nós o os ou para pela pelas pelo
            pelos por que se sem ser seu seus sua suas são também te tem um uma você à às é
        """,
        "it": """
            a ad ai al alla alle allo anche che chi ci come con cui da dai dal dalla dalle dallo degli dei del della
            delle dello di dove e ed era gli ha ho i il in io la le lei li lo loro lui ma mi mia mio ne nei nel nella
            nelle nello noi non o per più quale quella quello questa questo se si sono su sua sui sul sulla sulle sullo
            suo ti tra tu un una uno vi voi è
        """,
        "de": """
            aber als am an auch auf aus bei bin bis bist da das dass dem den der des die doch du durch ein eine einem
            einen einer eines er es für hat hatte ich ihm ihn ihr ihre im in ist ja kann kein keine man mein mich mir
            mit nach nicht noch nur oder ohne sehr sein seine sich sie sind so um und uns unter vom von vor war was wenn
            wer wie wir wird wo zu zum zur über
        """,
        "nl": """
            aan al als altijd bij dan dat de der deze die dit doch door dus een en er ge geen had heb heeft hem het hier
            hij hoe hun ik in is ja je kan maar me met mij mijn na naar niet nog nu of om omdat onder ons ook op over te
            tegen toch toen tot u uit uw van veel voor want waren was wat werd wie wij wordt ze zich zij zijn zo zonder
            zou
        """,
    }.items()
}
