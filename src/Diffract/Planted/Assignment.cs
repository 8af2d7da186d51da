namespace Diffract.Planted;

/// <summary>The assignment of rows to columns, each used at most once, with the largest sum of values (Jonker and Volgenant's shortest augmenting paths; cubic in the shorter side).</summary>
public static class Assignment
{
    /// <param name="values">[rows, columns], row-major; 0 or more, 0 where two do not fit together.</param>
    /// <param name="rows">Rows.</param>
    /// <param name="columns">Columns.</param>
    /// <returns>For each row its column; -1 where it has none, or one with a value of 0.</returns>
    public static int[] Best(ReadOnlySpan<double> values, int rows, int columns)
    {
        if (rows > columns)
        {
            double[] turned = new double[values.Length];
            for (int r = 0; r < rows; r++)
            {
                for (int c = 0; c < columns; c++)
                {
                    turned[(c * rows) + r] = values[(r * columns) + c];
                }
            }

            int[] rowOf = Best(turned, columns, rows), columnOf = new int[rows];
            Array.Fill(columnOf, -1);
            for (int c = 0; c < columns; c++)
            {
                if (rowOf[c] >= 0)
                {
                    columnOf[rowOf[c]] = c;
                }
            }

            return columnOf;
        }

        return Solve(values, rows, columns);
    }

    static int[] Solve(ReadOnlySpan<double> values, int rows, int columns)
    {
        // Prices of rows and columns, and the row that each column belongs to; both count from 1, 0 is where a path begins.
        double[] rowPrice = new double[rows + 1], columnPrice = new double[columns + 1], distance = new double[columns + 1];
        int[] owner = new int[columns + 1], before = new int[columns + 1];
        bool[] done = new bool[columns + 1];
        for (int row = 1; row <= rows; row++)
        {
            owner[0] = row;
            int at = 0;
            Array.Fill(distance, double.PositiveInfinity);
            Array.Clear(done);
            do
            {
                done[at] = true;
                int from = owner[at], nearest = 0;
                double step = double.PositiveInfinity;
                for (int c = 1; c <= columns; c++)
                {
                    if (done[c])
                    {
                        continue;
                    }

                    double reduced = -values[((from - 1) * columns) + c - 1] - rowPrice[from] - columnPrice[c];
                    if (reduced < distance[c])
                    {
                        (distance[c], before[c]) = (reduced, at);
                    }

                    if (distance[c] < step)
                    {
                        (step, nearest) = (distance[c], c);
                    }
                }

                for (int c = 0; c <= columns; c++)
                {
                    if (done[c])
                    {
                        rowPrice[owner[c]] += step;
                        columnPrice[c] -= step;
                    }
                    else
                    {
                        distance[c] -= step;
                    }
                }

                at = nearest;
            }
            while (owner[at] != 0);

            while (at != 0)
            {
                int previous = before[at];
                owner[at] = owner[previous];
                at = previous;
            }
        }

        int[] columnOf = new int[rows];
        Array.Fill(columnOf, -1);
        for (int c = 1; c <= columns; c++)
        {
            if (owner[c] > 0 && values[((owner[c] - 1) * columns) + c - 1] > 0)
            {
                columnOf[owner[c] - 1] = c - 1;
            }
        }

        return columnOf;
    }
}
