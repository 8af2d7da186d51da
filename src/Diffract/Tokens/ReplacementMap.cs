using System.Globalization;
using System.Text.Json.Nodes;
using Diffract.Runs;

namespace Diffract.Tokens;

/// <summary>
/// Ids that the base model reads in place of others, because it lacks them or handles them badly: the chat template's (spec 1.3). Stored ids are the originals, for both models; only the base model's input
/// is replaced.
/// </summary>
public sealed class ReplacementMap
{
    readonly SortedDictionary<int, int> _ids;

    /// <param name="ids">From id to id.</param>
    public ReplacementMap(IEnumerable<KeyValuePair<int, int>> ids) => _ids = new SortedDictionary<int, int>(ids.ToDictionary());

    /// <summary>Nothing is replaced.</summary>
    public static ReplacementMap None { get; } = new([]);

    public bool IsEmpty => _ids.Count == 0;

    public IReadOnlyDictionary<int, int> Ids => _ids;

    /// <summary>"none", or "128006=1432,128009=827"; null where nothing is given.</summary>
    public static ReplacementMap? Parse(string? option)
    {
        if (option is null or "none")
        {
            return option is null ? null : None;
        }

        Dictionary<int, int> ids = [];
        foreach (string part in option.Split(','))
        {
            string[] sides = part.Split('=');
            if (sides.Length != 2 || !TryId(sides[0], out int from) || !TryId(sides[1], out int to) || !ids.TryAdd(from, to))
            {
                throw DiffractException.Argument($"--replace {option} cannot be read at \"{part}\"; wanted none, or ID=ID,ID=ID,… with each ID replaced once, for instance 128006=1432,128009=827");
            }
        }

        return new ReplacementMap(ids);
    }

    /// <summary>What a manifest holds; null: nothing is replaced.</summary>
    public static ReplacementMap Read(JsonNode? settings)
        => settings is JsonObject ids ? new ReplacementMap(ids.Select(p => KeyValuePair.Create(int.Parse(p.Key, CultureInfo.InvariantCulture), (int)p.Value!))) : None;

    /// <summary>As a manifest holds it: an object from id to id.</summary>
    public JsonObject ToJson() => new([.. _ids.Select(p => KeyValuePair.Create(p.Key.ToString(CultureInfo.InvariantCulture), (JsonNode?)p.Value))]);

    /// <summary>As the option takes it.</summary>
    public override string ToString()
        => IsEmpty ? "none" : string.Join(',', _ids.Select(p => string.Create(CultureInfo.InvariantCulture, $"{p.Key}={p.Value}")));

    /// <summary>The ids with replacements; the same array where nothing is replaced.</summary>
    public int[] Apply(int[] ids) => IsEmpty || !ids.AsSpan().ContainsAny([.. _ids.Keys]) ? ids : Array.ConvertAll(ids, id => _ids.GetValueOrDefault(id, id));

    static bool TryId(string text, out int id) => int.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out id);
}
