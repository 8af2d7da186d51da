namespace Diffract.Formats;

/// <summary>A Python tuple out of a pickle.</summary>
public sealed class PickleTuple(object?[] items)
{
    public object?[] Items { get; } = items;
}
