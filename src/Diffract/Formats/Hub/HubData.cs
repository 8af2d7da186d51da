using System.Text.Json;
using Diffract.Formats.Rows;
using Diffract.Runs;

namespace Diffract.Formats.Hub;

/// <summary>
/// Turns what a user calls data into files: files, folders and patterns that are there; else a data set of the hub in its cache; else the same, fetched. What is in the cache is taken as it is, without asking the
/// network, so that a run means the same tomorrow.
/// </summary>
public static class HubData
{
    // A token's text takes about four bytes, less when packed, more with what else a row holds: four times as much, to be sure.
    const long BytesForToken = 16;

    const string Card = "README.md";

    /// <param name="text">A file, folder, pattern, or a data set's name (<see cref="HubDataName"/>).</param>
    /// <param name="tokens">Most tokens that are wanted of it; null: all. Of a data set no more files are fetched than hold so many.</param>
    /// <param name="settings">Cache and hub.</param>
    /// <param name="progress">Hears where it was found and how far it is fetched.</param>
    /// <param name="stop">Stops; what was fetched is kept and gone on with.</param>
    /// <returns>Files in their order.</returns>
    /// <exception cref="DiffractException">It cannot be had.</exception>
    public static IReadOnlyList<string> Resolve(string text, long? tokens, HubSettings settings, IProgressSink progress, CancellationToken stop)
    {
        // What is there is meant, and a path whose beginning is there is a path with a slip in it, not a name.
        bool address = text.StartsWith("hf://", StringComparison.Ordinal);
        if (!address && (File.Exists(text) || Directory.Exists(text) || HubDataName.Parse(text) is null || Directory.Exists(text[..text.IndexOf('/', StringComparison.Ordinal)])))
        {
            return DataFiles.Find(text);
        }

        HubDataName name = HubDataName.Parse(text) ?? throw DiffractException.Argument($"{text} is no data set's address; wanted hf://datasets/org/name[@revision]/path");
        HubCache cache = new(settings.Cache, name.Name);
        using HubClient client = new(settings);
        HubCommit commit = List(name, cache, client, settings, stop);
        HubFetch fetch = new(client, cache, name.Name, progress, stop);
        Dictionary<string, HubFile> files = commit.Files.ToDictionary(f => f.Name, StringComparer.Ordinal);
        string card = "";
        if (files.TryGetValue(Card, out HubFile? readme) && name.Path is null)
        {
            Get([readme]);
            card = File.ReadAllText(Path.Combine(cache.Snapshot(commit.Sha), Card));
        }

        string[] all = DatasetLayout.Files(name, files.Keys, DatasetCard.Read(card, name.Name.ToString()));
        string[] some = [.. Enough(all, files, tokens)];
        if (some.Length < all.Length)
        {
            progress.Line(FormattableString.Invariant($"hub: {some.Length} of {all.Length} files of {name} are taken, enough for {tokens:N0} tokens"));
        }

        Get([.. some.Select(f => files[f])]);
        progress.Line(FormattableString.Invariant($"hub: {name}, commit {commit.Sha[..7]}, {some.Length} files, {some.Sum(f => files[f].Bytes) / 1e6:0.0} MB"));
        return [.. some.Select(f => Path.Combine(cache.Snapshot(commit.Sha), f))];

        void Get(HubFile[] wanted)
        {
            if (Array.TrueForAll(wanted, f => File.Exists(Path.Combine(cache.Snapshot(commit.Sha), f.Name))))
            {
                return;
            }

            if (settings.Offline)
            {
                throw new DiffractException($"{name} is not complete in {settings.Cache} ({wanted.First(f => !File.Exists(Path.Combine(cache.Snapshot(commit.Sha), f.Name))).Name} is not there), and HF_HUB_OFFLINE forbids to fetch it; unset it, or give files");
            }

            fetch.Files(commit, wanted);
            cache.SetCommit(name.Name.Revision, commit.Sha);
        }
    }

    /// <summary>The files of the data set: as they were listed when it was last fetched; else, offline, those that other tools have left; else as the hub lists them.</summary>
    static HubCommit List(HubDataName name, HubCache cache, HubClient client, HubSettings settings, CancellationToken stop)
    {
        string? known = cache.Commit(name.Name.Revision);
        if (known is not null && ReadList(cache.List(known), known) is { } listed)
        {
            return listed;
        }

        if (settings.Offline)
        {
            string folder = known is null ? "" : cache.Snapshot(known);
            return Directory.Exists(folder)
                ? new HubCommit(known!, [.. Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Select(f => new HubFile(Path.GetRelativePath(folder, f).Replace('\\', '/'), CheckpointFiles.Length(f), "", false))])
                : throw new DiffractException($"{name} is not in {settings.Cache}, and HF_HUB_OFFLINE forbids to fetch it; unset it, or give files");
        }

        HubCommit commit = client.Commit(name.Name, stop);
        AtomicFile.WriteText(cache.List(commit.Sha), JsonSerializer.Serialize(commit.Files));
        return commit;
    }

    static HubCommit? ReadList(string path, string commit)
    {
        try
        {
            return File.Exists(path) && JsonSerializer.Deserialize<HubFile[]>(File.ReadAllText(path)) is { } files && Array.TrueForAll(files, f => HubClient.IsInside(f.Name)) ? new HubCommit(commit, files) : null;
        }
        catch (Exception e) when (e is JsonException or IOException or UnauthorizedAccessException or NotSupportedException)
        {
            // Asked for again.
            return null;
        }
    }

    static IEnumerable<string> Enough(string[] all, Dictionary<string, HubFile> files, long? tokens)
    {
        long bytes = 0;
        foreach (string file in all)
        {
            yield return file;
            bytes += files[file].Bytes;
            if (tokens is { } most && bytes / BytesForToken >= most)
            {
                yield break;
            }
        }
    }
}
