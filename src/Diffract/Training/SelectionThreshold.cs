namespace Diffract.Training;

/// <summary>The inference threshold of BatchTopK: a running mean of each batch's smallest selected scaled value.</summary>
public static class SelectionThreshold
{
    /// <summary>The threshold after a step: the batch's smallest where it was unset (below 0), else β·threshold + (1 - β)·smallest.</summary>
    public static float Next(float threshold, float smallest, double beta)
        => threshold < 0 ? smallest : (float)(beta * threshold + (1 - beta) * smallest);
}
