using System.Text.Json;
using Diffract.Runs;

namespace Diffract.Llms;

/// <summary>Reads JSON lines with <c>ids</c>, a list of token ids, as <c>tokenize</c> writes them; other keys are passed over. Every error names file and line.</summary>
public static class IdLines
{
    /// <param name="file">The file.</param>
    /// <param name="vocabulary">Ids must lie below it.</param>
    public static IReadOnlyList<int[]> Read(string file, int vocabulary)
    {
        if (!File.Exists(file))
        {
            throw DiffractException.Argument($"{file} does not exist; wanted JSON lines with ids");
        }

        List<int[]> rows = [];
        foreach (string line in File.ReadLines(file))
        {
            rows.Add(Parse(line, $"{file} line {rows.Count + 1}", vocabulary));
        }

        return rows;
    }

    static int[] Parse(string line, string where, int vocabulary)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            if (document.RootElement.ValueKind != JsonValueKind.Object || !document.RootElement.TryGetProperty("ids", out JsonElement ids) || ids.ValueKind != JsonValueKind.Array)
            {
                throw new DiffractException($"{where} has no list of ids; wanted {{\"ids\": [2, 17, …]}}");
            }

            int[] row = new int[ids.GetArrayLength()];
            for (int t = 0; t < row.Length; t++)
            {
                if (ids[t].ValueKind != JsonValueKind.Number || !ids[t].TryGetInt32(out row[t]) || row[t] < 0 || row[t] >= vocabulary)
                {
                    throw new DiffractException($"{where}: id {t} is {ids[t].GetRawText()}, wanted an integer from 0 to {vocabulary - 1}; use the model's own tokenizer");
                }
            }

            return row;
        }
        catch (JsonException e)
        {
            throw new DiffractException($"{where} is not JSON ({e.Message}); wanted {{\"ids\": [2, 17, …]}}", inner: e);
        }
    }
}
