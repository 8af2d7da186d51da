using System.Text;
using System.Text.Json.Nodes;
using Diffract.Runs;
using Diffract.Text;

namespace Diffract.Tokens;

/// <summary>Rows that were passed over: counted by reason, and kept until they are written to the stage's list.</summary>
sealed class SkippedRows
{
    const int MostReasons = 100;
    const string OtherReasons = "other reasons";
    readonly Dictionary<string, int> _reasons = new(StringComparer.Ordinal);
    readonly List<JsonObject> _unwritten = [];

    public int Count { get; private set; }

    /// <summary>The first, as a place and a reason; "" when there is none.</summary>
    public string First { get; private set; } = "";

    /// <summary>How many there are of each reason, most frequent first.</summary>
    public IEnumerable<KeyValuePair<string, int>> Reasons => _reasons.OrderByDescending(r => r.Value).ThenBy(r => r.Key, StringComparer.Ordinal);

    /// <param name="source">What it was to be.</param>
    /// <param name="item">The row.</param>
    /// <param name="why">In words that follow the row's place.</param>
    public void Add(TextSource source, TextItem item, string why)
    {
        Count++;
        First = First.Length == 0 ? $"{item.Place}, which {why}" : First;
        string reason = Reason(why);
        reason = _reasons.ContainsKey(reason) || _reasons.Count < MostReasons ? reason : OtherReasons;
        _reasons[reason] = _reasons.GetValueOrDefault(reason) + 1;
        _unwritten.Add(new JsonObject { ["source"] = source == TextSource.Chat ? "chat" : "document", ["file"] = item.File, [item.Unit] = item.Line, ["id"] = item.Id, ["why"] = why });
    }

    /// <summary>Writes those that have not been, a JSON object a line.</summary>
    public void WriteTo(Stream stream)
    {
        foreach (JsonObject row in _unwritten)
        {
            stream.Write(System.Text.Encoding.UTF8.GetBytes(row.ToJsonString(Provenance.Line)));
            stream.WriteByte((byte)'\n');
        }

        _unwritten.Clear();
    }

    /// <summary>A reason without what is the row's own: its numbers.</summary>
    static string Reason(string why)
    {
        StringBuilder reason = new(why.Length);
        foreach (char c in why)
        {
            bool digit = char.IsAsciiDigit(c);
            if (!digit || reason.Length == 0 || reason[^1] != 'N')
            {
                _ = reason.Append(digit ? 'N' : c);
            }
        }

        return reason.ToString();
    }
}
