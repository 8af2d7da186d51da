namespace Diffract.Llms;

/// <summary>Which blocks of a family attend through a sliding window, where <c>layer_types</c> does not say it.</summary>
public enum WindowRule
{
    /// <summary>None.</summary>
    None,

    /// <summary>All, where <c>sliding_window</c> is set; <c>layer_types</c> is not read.</summary>
    All,

    /// <summary>All but every so-manieth (<c>sliding_window_pattern</c>).</summary>
    Pattern,

    /// <summary>With <c>use_sliding_window</c>, those from <c>max_window_layers</c> on.</summary>
    Upper,
}
