namespace Diffract.Formats;

/// <summary>A class or function that a pickle names and the allow-list knows; it is never run, only read.</summary>
public sealed record PickleGlobal(string Module, string Name)
{
    public string FullName => Module + "." + Name;
}
