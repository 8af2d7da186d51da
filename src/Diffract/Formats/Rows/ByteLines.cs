using System.Text.Unicode;
using Diffract.Runs;

namespace Diffract.Formats.Rows;

/// <summary>The lines of a text, as bytes that are sound UTF-8.</summary>
static class ByteLines
{
    /// <summary>Lines without their ends, with their numbers from 1; each is valid until the next.</summary>
    /// <exception cref="DiffractException">A line is too long or no UTF-8.</exception>
    public static IEnumerable<(ReadOnlyMemory<byte> Line, int Number)> Read(string file)
    {
        using UnpackedStream stream = new(file);
        ByteWindow window = new(stream);
        int seen = 0;
        for (int number = 1; ;)
        {
            int at = window.Span[seen..].IndexOf((byte)'\n');
            if (at >= 0)
            {
                yield return (Checked(window.First(seen + at), file, number), number);
                window.Drop(seen + at + 1);
                number++;
                seen = 0;
                continue;
            }

            seen = window.Length;
            if (seen > RowFile.MostRowBytes)
            {
                throw RowFile.TooLong(file, "line", number);
            }

            if (!window.More())
            {
                if (seen > 0)
                {
                    yield return (Checked(window.First(seen), file, number), number);
                }

                yield break;
            }
        }
    }

    static ReadOnlyMemory<byte> Checked(ReadOnlyMemory<byte> line, string file, int number)
    {
        if (number == 1 && line.Span.StartsWith(Mark))
        {
            line = line[Mark.Length..];
        }

        if (line.Length > 0 && line.Span[^1] == (byte)'\r')
        {
            line = line[..^1];
        }

        return line.Length > RowFile.MostRowBytes ? throw RowFile.TooLong(file, "line", number)
            : Utf8.IsValid(line.Span) ? line
            : throw RowFile.Bad(file, "line", number, "is not UTF-8", "save the file as UTF-8");
    }

    // The byte order mark.
    static ReadOnlySpan<byte> Mark => [0xEF, 0xBB, 0xBF];
}
