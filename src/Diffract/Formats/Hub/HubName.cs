using System.Text.RegularExpressions;

namespace Diffract.Formats.Hub;

/// <summary>
/// A repository of a model hub, as people write it: <c>org/name</c>, <c>org/name@revision</c>, <c>org/name/folder@revision</c>. The revision is a branch, a tag or a commit.
/// </summary>
/// <param name="Repository"><c>org/name</c>.</param>
/// <param name="Folder">Folder inside the repository, or "".</param>
/// <param name="Revision">What was asked for; <c>main</c> when nothing was.</param>
public sealed partial record HubName(string Repository, string Folder, string Revision)
{
    /// <summary>Whether it is a data set and not a model.</summary>
    public bool IsDataset { get; init; }

    /// <summary>Where the hub's API has it.</summary>
    internal string ApiPath => (IsDataset ? "api/datasets/" : "api/models/") + Repository;

    /// <summary>Its page, below which its files are.</summary>
    internal string PagePath => (IsDataset ? "datasets/" : "") + Repository;

    /// <summary>The name's parts, or null for what cannot be a repository's name (a path).</summary>
    public static HubName? Parse(string text)
    {
        Match match = Pattern().Match(text);
        return match.Success && !match.Groups["folder"].Value.Split('/').Contains("..")
            ? new HubName(match.Groups["repository"].Value, match.Groups["folder"].Value, match.Groups["revision"] is { Success: true } r ? r.Value : "main")
            : null;
    }

    /// <summary>What a folder is called: <c>org/name@commit</c> for a snapshot in a hub's cache, else the folder's own name.</summary>
    public static string Of(string folder)
    {
        string full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        Match match = Snapshot().Match(full.Replace('\\', '/'));
        return match.Success
            ? $"{match.Groups["repository"].Value.Replace("--", "/", StringComparison.Ordinal)}{match.Groups["folder"].Value}@{match.Groups["commit"].Value[..7]}"
            : Path.GetFileName(full);
    }

    public override string ToString() => $"{Repository}{(Folder.Length > 0 ? "/" + Folder : "")}{(Revision == "main" ? "" : "@" + Revision)}";

    [GeneratedRegex(@"^(?<repository>[A-Za-z0-9][\w.\-]*/[A-Za-z0-9][\w.\-]*)(/(?<folder>[\w.\-]+(/[\w.\-]+)*))?(@(?<revision>[\w.\-/]+))?$", RegexOptions.CultureInvariant)]
    private static partial Regex Pattern();

    [GeneratedRegex(@"/models--(?<repository>[^/]+)/snapshots/(?<commit>[0-9a-f]{40})(?<folder>/.+)?$", RegexOptions.CultureInvariant)]
    private static partial Regex Snapshot();
}
