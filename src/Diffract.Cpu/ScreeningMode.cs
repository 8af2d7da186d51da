namespace Diffract.Cpu;

/// <summary>Whether the sparse encoder looks for its pairs in 16-bit integers first. It changes the speed only: the pairs and their bits are the same.</summary>
public enum ScreeningMode
{
    /// <summary>Where it pays: on paths with an integer multiply-add, for batches and widths that are large enough, while few pairs pass.</summary>
    Auto,

    /// <summary>Wherever a floor above 0 is known.</summary>
    On,

    /// <summary>Never.</summary>
    Off,
}
