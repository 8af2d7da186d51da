namespace Diffract.Llms;

/// <summary>How the projections of queries, keys and values lie in a checkpoint.</summary>
public enum QueryKeyValueLayout
{
    /// <summary>Three tensors.</summary>
    Separate,

    /// <summary>One tensor: all query rows, then all key rows, then all value rows.</summary>
    Stacked,

    /// <summary>One tensor: for each head its query rows, its key rows, its value rows.</summary>
    ByHead,
}
