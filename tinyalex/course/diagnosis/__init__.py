"""What is wrong with an answer: from its results, its exceptions and its source.

search       the known mistake, or pair of mistakes, with the same results; else
formula      the right formula with one or two mistakes in it that has them (edits,
             expression), or the factors of its terms (terms, factors)
regions      what an elementwise function does in each region of its input
limits       inputs for which a part of the formula vanishes
relation     a factor, a sign or an order that holds in all cases
crash        advice on an exception
clues        suspicious expressions in the source
comparison   the first difference to the expected results
attempt      the data of all of these: inputs, right results, the learner's
"""
