using System.Text;
using System.Text.Json.Nodes;

namespace Diffract.Tests.Formats;

/// <summary>
/// Damages a JSON file by its structure, so that it mostly stays JSON: values of the wrong type or out of range, members missing, twice, renamed or taken from another place or another file, deep nesting, texts
/// damaged inside; now and then the file is cut.
/// </summary>
/// <param name="files">Sound files of one kind.</param>
sealed class JsonMutations(IReadOnlyList<string> files)
{
    const string Mark = "<<damage>>";

    static readonly string[] Values =
    [
        "null", "true", "false", "0", "-1", "1", "0.5", "-0.0", "3", "1e400", "1e-400", "1e30", "2147483647", "2147483648", "4294967295", "1000000", "9223372036854775807", "18446744073709551616",
        new('9', 400), "\"\"", "\"x\"", "\"\\ud800\"", "\"\\u0000\"", "\"1\"", "[]", "{}", "[[]]", "[null]", "{\"\":{}}", "{\"type\":\"Sequence\"}", "[1e9,1e9]", "\"" + new string('a', 5000) + "\"",
        new string('[', 60) + new string(']', 60), new string('[', 3000) + new string(']', 3000), "\"a\" \"b\"", "NaN", "// x",
    ];

    readonly JsonNode[] _files = [.. files.Select(f => JsonNode.Parse(f)!)];

    /// <summary>One to four damages of one of the files.</summary>
    public byte[] Damage(Mutations mutations)
    {
        JsonNode file = _files[mutations.Next(_files.Length)].DeepClone();
        List<string> raw = [];
        for (int i = 1 + mutations.Next(4); i > 0; i--)
        {
            Once(file, mutations, raw);
        }

        StringBuilder text = new(file.ToJsonString());
        for (int i = 0; i < raw.Count; i++)
        {
            text.Replace($"\"{Escaped(Mark)}{i}\"", raw[i]);
        }

        return Encoding.UTF8.GetBytes(mutations.Next(25) == 0 ? text.ToString(0, mutations.Next(text.Length + 1)) : text.ToString());
    }

    void Once(JsonNode file, Mutations mutations, List<string> raw)
    {
        JsonNode? node = Pick(file, mutations);
        JsonNode? parent = node?.Parent;
        if (node is null || parent is null)
        {
            return;
        }

        switch (mutations.Next(8))
        {
            case 0 when parent is JsonObject members:
                members.Remove(node.GetPropertyName());
                break;
            case 0 or 1 when parent is JsonArray items:
                items.Remove(node);
                break;
            case 1 when parent is JsonObject members:
                members[$"{Mark}{raw.Count}"] = node.DeepClone();
                raw.Add(Escaped(node.GetPropertyName(), quoted: true));
                break;
            case 2 when parent is JsonObject members:
                string name = node.GetPropertyName();
                members.Remove(name);
                members[Damaged(name, mutations)] = node;
                break;
            case 2 when parent is JsonArray items:
                for (int i = mutations.Next(200); i > 0; i--)
                {
                    items.Add(node.DeepClone());
                }

                break;
            case 3 or 4 when Pick(_files[mutations.Next(_files.Length)], mutations) is { } other:
                node.ReplaceWith(other.DeepClone());
                break;
            case 5 when node.GetValueKind() == System.Text.Json.JsonValueKind.String:
                node.ReplaceWith(Damaged(node.GetValue<string>(), mutations));
                break;
            default:
                node.ReplaceWith($"{Mark}{raw.Count}");
                raw.Add(Values[mutations.Next(Values.Length)]);
                break;
        }
    }

    /// <summary>A value below the root; every level is as likely as its siblings, so a vocabulary of a thousand does not hide the members beside it.</summary>
    static JsonNode? Pick(JsonNode root, Mutations mutations)
    {
        JsonNode? node = root;
        while (true)
        {
            JsonNode?[] below = node switch
            {
                JsonObject members => [.. members.Select(m => m.Value)],
                JsonArray items => [.. items],
                _ => [],
            };
            if (below.Length == 0 || (node != root && mutations.Next(3) == 0))
            {
                return node;
            }

            node = below[mutations.Next(below.Length)];
            if (node is null)
            {
                return null;
            }
        }
    }

    static string Damaged(string text, Mutations mutations) => Encoding.UTF8.GetString(mutations.Damage(Encoding.UTF8.GetBytes(text)));

    static string Escaped(string text, bool quoted = false)
    {
        string json = JsonValue.Create(text).ToJsonString();
        return quoted ? json : json[1..^1];
    }
}
