using System.Text.RegularExpressions;
using Diffract.Formats.Rows;

namespace Diffract.Formats.Hub;

/// <summary>
/// A data set of the hub, as people write it: <c>org/name</c>, <c>org/name@revision</c>, then <c>:config</c> or <c>:config:split</c>; or some of its files, <c>hf://datasets/org/name@revision/path</c>, where the path
/// may be a pattern or a folder.
/// </summary>
/// <param name="Name">The repository and revision.</param>
/// <param name="Config">The configuration, or null for the default one.</param>
/// <param name="Split">The split, or null for the one for training.</param>
/// <param name="Path">Path, folder or pattern in the repository, or null.</param>
public sealed partial record HubDataName(HubName Name, string? Config, string? Split, string? Path)
{
    const string Scheme = "hf://datasets/";

    /// <summary>The name's parts, or null for what cannot be a data set's name (a path).</summary>
    public static HubDataName? Parse(string text)
    {
        if (text.StartsWith(Scheme, StringComparison.Ordinal))
        {
            Match address = Address().Match(text);
            return address.Success && !address.Groups["path"].Value.Split('/').Contains("..")
                ? new HubDataName(Repository(address), null, null, address.Groups["path"] is { Success: true, Value.Length: > 0 } path ? path.Value : null)
                : null;
        }

        Match name = Short().Match(text);
        return name.Success && RowFile.Named(text) is null
            ? new HubDataName(Repository(name), Given(name.Groups["config"]), Given(name.Groups["split"]), null)
            : null;
    }

    public override string ToString() => Path is not null ? $"{Scheme}{Name}/{Path}" : Name + (Config is null && Split is null ? "" : $":{Config}") + (Split is null ? "" : $":{Split}");

    static HubName Repository(Match match) => new(match.Groups["repository"].Value, "", match.Groups["revision"] is { Success: true } r ? Uri.UnescapeDataString(r.Value) : "main") { IsDataset = true };

    static string? Given(Group group) => group.Success && group.Length > 0 ? group.Value : null;

    [GeneratedRegex(@"^(?<repository>[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*)(@(?<revision>[\w.\-/]+))?(:(?<config>[\w.\- ]*)(:(?<split>[\w.\-]*))?)?$", RegexOptions.CultureInvariant)]
    private static partial Regex Short();

    [GeneratedRegex(@"^hf://datasets/(?<repository>[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*)(@(?<revision>refs/convert/parquet|[\w.\-%]+))?(/(?<path>.*))?$", RegexOptions.CultureInvariant)]
    private static partial Regex Address();
}
