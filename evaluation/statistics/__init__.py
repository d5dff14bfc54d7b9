"""Statistics of a segmentation leaderboard, from counts per patch.

The score of a team is a ratio of sums over patches, F1 = sum 2TP / sum (2TP + FP + FN). Patches (or the sites
they come from) are the sampling units, never pixels, and per-patch F1 values are never averaged.

    table        the counts of several teams on the same patches: the input of every other file
    student      Student's t and normal tail probabilities and quantiles
    intervals    confidence intervals and paired differences (delta method)
    ranks        Holm's correction, rank ranges, 1224 ranks of float scores, Kendall's tau
    seeds        random numbers that anyone can reproduce
    permutation  paired permutation test for the podium
    bootstrap    resampled scores, rank frequencies, the bracket for "best of k submissions"
    sites        scores per site, ranks with one site left out
    shakeup      changes from one phase to the next, relative to a baseline
    patches      the hardest patches, the best team per patch
    history      best score so far, submissions per day

Numpy and the standard library only. Shapes: T teams, n patches, B replicates.
"""
