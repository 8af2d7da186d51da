namespace Diffract.Llms;

/// <summary>What one norm of queries or keys goes over.</summary>
public enum QueryKeyNorm
{
    /// <summary>There is none.</summary>
    None,

    /// <summary>Each head by itself; one weight [H] for all heads.</summary>
    Head,

    /// <summary>All heads together; a weight [heads·H].</summary>
    Projection,
}
