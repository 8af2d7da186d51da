using Diffract.Runs;

namespace Diffract.Formats.Hub;

/// <summary>
/// Turns what a user calls a model into a folder: a folder that is there; else a repository of the hub in its cache; else the same, fetched. What is in the cache is taken as it is,
/// without asking the network, so that a run means the same tomorrow.
/// </summary>
public static class HubFolder
{
    static readonly string[] SmallFiles =
    [
        "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "chat_template.json", "tokenizer.model",
    ];

    const string Single = "model.safetensors";
    const string IndexName = "model.safetensors.index.json";

    /// <param name="text">A folder, or a name such as <c>org/name@revision</c>.</param>
    /// <param name="contents">What is wanted of it.</param>
    /// <param name="settings">Cache and hub.</param>
    /// <param name="progress">Hears where it was found and how far it is fetched.</param>
    /// <param name="stop">Stops; what was fetched is kept and gone on with.</param>
    /// <returns>The folder; as given when <paramref name="text"/> is no repository's name, so that its reader says what is missing.</returns>
    /// <exception cref="DiffractException">It cannot be had.</exception>
    public static string Resolve(string text, HubContents contents, HubSettings settings, IProgressSink progress, CancellationToken stop)
    {
        // A path whose beginning is there is a path with a slip in it, not a name.
        if (Directory.Exists(text) || HubName.Parse(text) is not { } name || Directory.Exists(text[..text.IndexOf('/', StringComparison.Ordinal)]))
        {
            return text;
        }

        HubCache cache = new(settings.Cache, name);
        if (cache.Commit(name.Revision) is { } known && Missing(At(cache, known, name), contents) is null)
        {
            progress.Line($"hub: {name} is in the cache, commit {known[..7]}");
            return At(cache, known, name);
        }

        if (settings.Offline)
        {
            string why = cache.Commit(name.Revision) is { } commit ? Missing(At(cache, commit, name), contents)! : $"revision {name.Revision} is not there";
            throw new DiffractException($"{name} is not complete in {settings.Cache} ({why}), and HF_HUB_OFFLINE forbids to fetch it; unset it, or give a folder");
        }

        using HubClient client = new(settings);
        return new Fetching(client, cache, name, contents, progress, stop).Run();
    }

    static string At(HubCache cache, string commit, HubName name) => Path.Combine(cache.Snapshot(commit), name.Folder);

    /// <summary>What a snapshot lacks to be used, or null.</summary>
    static string? Missing(string folder, HubContents contents)
    {
        if (!Directory.Exists(folder))
        {
            return $"{folder} is not there";
        }

        string[] names = [.. Directory.EnumerateFiles(folder).Select(f => Path.GetFileName(f))];
        if (contents == HubContents.Dictionary)
        {
            return !names.Any(IsDictionaryConfig) ? "it has no config.json or cfg.json" : names.Any(IsWeights) ? null : "it has no weights";
        }

        // A repository may have its tokenizer as tokenizer.model alone: whoever reads it says what to do then.
        if (!names.Contains("tokenizer.json") && !names.Contains("tokenizer.model"))
        {
            return "it has no tokenizer.json";
        }

        if (contents == HubContents.Tokenizer)
        {
            return null;
        }

        if (!names.Contains("config.json"))
        {
            return "it has no config.json";
        }

        try
        {
            _ = CheckpointFiles.Weights(folder);
            return null;
        }
        catch (DiffractException e)
        {
            return e.Message;
        }
    }

    static bool IsDictionaryConfig(string name) => name is "config.json" or "cfg.json";

    static bool IsWeights(string name) => Path.GetExtension(name) is ".safetensors" or ".pt";

    /// <summary>One repository's files, from the list to the links.</summary>
    sealed class Fetching(HubClient client, HubCache cache, HubName name, HubContents contents, IProgressSink progress, CancellationToken stop)
    {
        readonly HubFetch _fetch = new(client, cache, name, progress, stop);

        public string Run()
        {
            HubCommit commit = client.Commit(name, stop);
            Dictionary<string, HubFile> files = Listed(commit);
            if (contents == HubContents.Checkpoint && !files.ContainsKey(Single) && files.TryGetValue(IndexName, out HubFile? index))
            {
                _fetch.Files(commit, [index]);
                foreach (string shard in CheckpointFiles.Shards(Path.Combine(At(cache, commit.Sha, name), IndexName)).Distinct(StringComparer.Ordinal))
                {
                    string path = InFolder(shard);
                    files[shard] = commit.Files.FirstOrDefault(f => f.Name == path) ?? throw new DiffractException($"{name} has no {path}, which its {IndexName} lists; choose another revision");
                }
            }

            _fetch.Files(commit, [.. files.Values]);
            cache.SetCommit(name.Revision, commit.Sha);
            string folder = At(cache, commit.Sha, name);
            return Missing(folder, contents) is { } lacks ? throw new DiffractException($"{name} cannot be used: {lacks}") : folder;
        }

        string InFolder(string file) => name.Folder.Length == 0 ? file : $"{name.Folder}/{file}";

        /// <summary>The files that are wanted, by their names in the folder.</summary>
        Dictionary<string, HubFile> Listed(HubCommit commit)
        {
            string prefix = InFolder("");
            Dictionary<string, HubFile> there = commit.Files.Where(f => f.Name.StartsWith(prefix, StringComparison.Ordinal) && !f.Name[prefix.Length..].Contains('/', StringComparison.Ordinal))
                .ToDictionary(f => f.Name[prefix.Length..], StringComparer.Ordinal);
            Dictionary<string, HubFile> wanted = there.Where(f => contents switch
            {
                HubContents.Checkpoint => SmallFiles.Contains(f.Key) || f.Key is Single or IndexName,
                HubContents.Tokenizer => SmallFiles.Contains(f.Key),
                _ => IsDictionaryConfig(f.Key) || IsWeights(f.Key),
            }).ToDictionary(StringComparer.Ordinal);
            bool enough = contents switch
            {
                HubContents.Checkpoint => there.ContainsKey("config.json") && (there.ContainsKey(Single) || there.ContainsKey(IndexName)),
                HubContents.Tokenizer => true,
                _ => wanted.Keys.Any(IsDictionaryConfig) && wanted.Keys.Any(IsWeights),
            };
            if (enough)
            {
                return wanted;
            }

            string[] folders = [.. commit.Files.Where(f => IsWeights(f.Name) && f.Name.Contains('/', StringComparison.Ordinal)).Select(f => f.Name[..f.Name.LastIndexOf('/')]).Distinct().Take(6)];
            string[] others = [.. there.Keys.Where(k => Path.GetExtension(k) is ".bin" or ".gguf" or ".h5" or ".npz" or ".pth").Take(3)];
            throw new DiffractException(
                $"{name} (commit {commit.Sha[..7]}) has no {(contents == HubContents.Checkpoint ? "config.json with safetensors" : "config.json or cfg.json with weights (.safetensors, .pt)")}"
                + (others.Length > 0 ? $", only {string.Join(", ", others)}: such weights are not read, choose a revision with safetensors or convert them" : "")
                + (folders.Length > 0 ? $"; weights lie in {string.Join(", ", folders)}: give {name.Repository}/FOLDER" : ""));
        }
    }
}
