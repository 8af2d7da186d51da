using System.Text.RegularExpressions;
using Diffract.Formats.Rows;
using Diffract.Runs;

namespace Diffract.Formats.Hub;

/// <summary>Which of a data set's files belong to a configuration and a split: as its card says, else as their names do, by the rules of the <c>datasets</c> library.</summary>
static partial class DatasetLayout
{
    /// <summary>The files that a name means, in ordinal order.</summary>
    /// <param name="name">What was asked for.</param>
    /// <param name="files">All files of the repository.</param>
    /// <param name="card">Its card.</param>
    /// <exception cref="DiffractException">There is no such configuration or split, or nothing that is read.</exception>
    public static string[] Files(HubDataName name, IEnumerable<string> files, DatasetCard card)
    {
        string[] all = [.. files.Order(StringComparer.Ordinal)], data = [.. all.Where(DataFiles.IsData)];
        if (name.Path is { } path)
        {
            string[] meant = [.. Meant(path, data)];
            return meant.Length > 0 ? meant : throw new DiffractException($"{name} means no file that is read; {name.Name} has {Some(data.Length > 0 ? data : all)}");
        }

        if (data.Length == 0)
        {
            throw new DiffractException($"{name.Name} has no file that is read; wanted JSON lines, CSV, text or Parquet, it has {Some(all)}: where its data are made by a program, {name.Name.Repository}@refs/convert/parquet may have them");
        }

        Dictionary<string, SortedDictionary<string, List<string>>> configs = Configs(data, card);
        string config = name.Config ?? card.Configs.FirstOrDefault(c => c.IsDefault)?.Name ?? (configs.ContainsKey("default") || configs.Count > 1 ? "default" : configs.Keys.First());
        if (!configs.TryGetValue(config, out SortedDictionary<string, List<string>>? splits))
        {
            string hint = configs.Values.Any(s => s.ContainsKey(config)) ? $"; {config} is a split: write {name.Name}::{config}" : $": name one, {name.Name}:CONFIG";
            throw DiffractException.Argument($"{name.Name} has no configuration {config}; it has {Some([.. configs.Keys])}{hint}");
        }

        string split = name.Split ?? (splits.ContainsKey("train") || splits.Count != 1 ? "train" : splits.Keys.First());
        return splits.TryGetValue(split, out List<string>? found) && found.Count > 0
            ? [.. found.Distinct().Order(StringComparer.Ordinal)]
            : throw DiffractException.Argument($"{name.Name} has no split {split} in the configuration {config}; it has {Some([.. splits.Keys])}: name one, {name.Name}:{(config == "default" ? "" : config)}:SPLIT");
    }

    static Dictionary<string, SortedDictionary<string, List<string>>> Configs(string[] data, DatasetCard card)
    {
        Dictionary<string, SortedDictionary<string, List<string>>> configs = new(StringComparer.Ordinal);
        foreach (CardConfig config in card.Configs)
        {
            string[] below = config.Folder is { } folder ? [.. data.Where(d => d.StartsWith(folder + "/", StringComparison.Ordinal))] : data;
            if (config.Files.Count == 0)
            {
                configs[config.Name] = ByName(below);
                continue;
            }

            SortedDictionary<string, List<string>> splits = configs[config.Name] = new(StringComparer.Ordinal);
            foreach ((string split, string pattern) in config.Files)
            {
                List<string> found = [.. Meant(config.Folder is null ? pattern : $"{config.Folder}/{pattern}", data)];
                if (!splits.TryAdd(split, found))
                {
                    splits[split].AddRange(found);
                }
            }
        }

        if (configs.Count > 0)
        {
            return configs;
        }

        // The hub's own conversion: config/split/0000.parquet.
        if (data.All(d => Converted().IsMatch(d)))
        {
            foreach (IGrouping<string, string> config in data.GroupBy(d => d.Split('/')[0]))
            {
                configs[config.Key] = new(config.GroupBy(d => Partial().Replace(d.Split('/')[1], "")).ToDictionary(s => s.Key, s => s.ToList()), StringComparer.Ordinal);
            }

            return configs;
        }

        configs["default"] = ByName(data);
        return configs;
    }

    static SortedDictionary<string, List<string>> ByName(string[] data)
    {
        SortedDictionary<string, List<string>> splits = new(StringComparer.Ordinal);
        foreach (string file in data)
        {
            string split = SplitOf(file);
            if (!splits.TryAdd(split, [file]))
            {
                splits[split].Add(file);
            }
        }

        return splits;
    }

    static string SplitOf(string file)
    {
        if (Sharded().Match(file) is { Success: true } sharded)
        {
            return sharded.Groups["split"].Value;
        }

        return Keyword().Match(file) is { Success: true } match
            ? match.Groups["word"].Value.ToUpperInvariant()[..2] switch { "TE" or "EV" => "test", "TR" => "train", _ => "validation" }
            : "train";
    }

    static IEnumerable<string> Meant(string pattern, string[] data)
    {
        pattern = pattern.Trim('/');
        pattern = pattern.StartsWith("./", StringComparison.Ordinal) ? pattern[2..] : pattern;
        return DataFiles.IsPattern(pattern)
            ? data.Where(d => DataFiles.Matches(pattern, d))
            : data.Where(d => d == pattern || d.StartsWith(pattern + "/", StringComparison.Ordinal) || pattern.Length == 0);
    }

    static string Some(string[] names) => string.Join(", ", names.Take(12)) + (names.Length > 12 ? $" and {names.Length - 12} more" : "");

    [GeneratedRegex(@"(^|/)(?<split>[\w.]+)-[0-9]{5}-of-[0-9]{5}[^/]*$", RegexOptions.CultureInvariant)]
    private static partial Regex Sharded();

    [GeneratedRegex(@"(^|[/._\- ])(?<word>training|train|testing|test|evaluation|eval|validation|valid|dev|val)($|[/._\- 0-9])", RegexOptions.CultureInvariant | RegexOptions.IgnoreCase)]
    private static partial Regex Keyword();

    [GeneratedRegex(@"^[^/]+/[^/]+/[0-9]{4}\.parquet$", RegexOptions.CultureInvariant)]
    private static partial Regex Converted();

    [GeneratedRegex(@"^partial-", RegexOptions.CultureInvariant)]
    private static partial Regex Partial();
}
