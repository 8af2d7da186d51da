using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Diffract.Runs;

namespace Diffract.Formats.Rows;

/// <summary>JSON lines, or one JSON list, as rows.</summary>
static class JsonRows
{
    const int MostWithComma = RowFile.MostRowBytes + 1;

    /// <exception cref="DiffractException">A line is no JSON object, too long, or not UTF-8.</exception>
    public static IEnumerable<DataRow> Read(string file, RowSelection selection)
    {
        bool list = IsList(file);
        string unit = list ? "element" : "line";
        foreach ((ReadOnlyMemory<byte> text, int number) in list ? Elements(file) : ByteLines.Read(file))
        {
            yield return new DataRow(file, number, Parse(text, file, unit, number, selection)) { Unit = unit };
        }
    }

    /// <summary>The rows as JSON texts; valid until the next.</summary>
    public static IEnumerable<(string Text, int Number)> Texts(string file)
        => (IsList(file) ? Elements(file) : ByteLines.Read(file)).Select(l => (Encoding.UTF8.GetString(l.Item1.Span), l.Number));

    /// <summary>The columns of a row's JSON text that are wanted.</summary>
    public static Dictionary<string, object?> Parse(ReadOnlyMemory<byte> text, string file, string unit, int number, RowSelection selection)
    {
        if (text.Span.IndexOfAnyExcept(" \t\r"u8) < 0)
        {
            throw RowFile.Bad(file, unit, number, "is empty", "remove it; an empty document is {\"text\": \"\"}");
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(text);
            JsonElement row = document.RootElement;
            if (row.ValueKind != JsonValueKind.Object)
            {
                throw RowFile.Bad(file, unit, number, $"is a JSON {row.ValueKind.ToString().ToLowerInvariant()}", "wanted an object with text or turns");
            }

            Dictionary<string, object?> fields = [];
            foreach (string name in selection.Of([.. row.EnumerateObject().Select(p => p.Name)]))
            {
                fields[name] = JsonValue.Of(row.GetProperty(name));
            }

            return fields;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw RowFile.Bad(file, unit, number, $"is not JSON ({e.Message})", "wanted one JSON object a line with text or turns", e);
        }
    }

    /// <summary>Whether the file is one list: its first character that is no white space opens one.</summary>
    static bool IsList(string file)
    {
        using UnpackedStream stream = new(file);
        Span<byte> first = stackalloc byte[64];
        int got = stream.ReadAtLeast(first, first.Length, throwOnEndOfStream: false);
        ReadOnlySpan<byte> head = first[..got];
        head = head.StartsWith((ReadOnlySpan<byte>)[0xEF, 0xBB, 0xBF]) ? head[3..] : head;
        int at = head.IndexOfAnyExcept(" \t\r\n"u8);
        return at >= 0 && head[at] == (byte)'[';
    }

    /// <summary>Cuts a list at its commas without looking into its elements.</summary>
    static IEnumerable<(ReadOnlyMemory<byte> Text, int Number)> Elements(string file)
    {
        using UnpackedStream stream = new(file);
        ByteWindow window = new(stream);
        JsonListScan scan = new();
        for (int at = 0, number = 0; ;)
        {
            if (at == window.Length)
            {
                if (window.Length > RowFile.MostRowBytes)
                {
                    throw RowFile.TooLong(file, "element", number + 1);
                }

                if (!window.More())
                {
                    yield break;
                }
            }

            JsonListScan.Cut cut = scan.Take(window.Span[at..], out int taken);
            at += taken;
            switch (cut)
            {
                case JsonListScan.Cut.Element or JsonListScan.Cut.Last when at > MostWithComma:
                    throw RowFile.TooLong(file, "element", number + 1);
                case JsonListScan.Cut.Element or JsonListScan.Cut.Last:
                    ReadOnlyMemory<byte> text = window.First(at - 1);
                    number++;
                    yield return Utf8.IsValid(text.Span) ? (text, number) : throw RowFile.Bad(file, "element", number, "is not UTF-8", "save the file as UTF-8");
                    break;
                case JsonListScan.Cut.Strange:
                    throw RowFile.Bad(file, "element", number, "is followed by something that does not belong to a list", "wanted one JSON list, or JSON lines");
                case JsonListScan.Cut.None when window.More():
                    continue;
                case JsonListScan.Cut.None when !scan.Ended:
                    throw RowFile.Bad(file, "element", number + 1, "is the last, and the list is not closed", "the file is truncated; fetch it again");
            }

            window.Drop(at);
            at = 0;
        }
    }
}
